package dns

import (
	"context"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// clusterRole is what CoreDNS may do beyond what its own manifests say; config/rbac has it. Binding is ours. An admin
// who configures CoreDNS by hand has a binding of another name (config/coredns), which is never touched.
const (
	clusterRole = "tombolo-coredns"
	Binding     = "tombolo-coredns-managed"
)

// bindingFor gives the ServiceAccount the right to read ServiceImports.
func bindingFor(account string) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: Binding, Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: Namespace, Name: account}},
	}
}

// bind makes the binding as it should be. Its role cannot be changed: one of another role is replaced.
func (r *Reconciler) bind(ctx context.Context, account string) error {
	want, have := bindingFor(account), &rbacv1.ClusterRoleBinding{}
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(want), have)
	switch {
	case client.IgnoreNotFound(err) != nil:
		return fmt.Errorf("reading ClusterRoleBinding %s: %w", Binding, err)
	case err == nil && have.RoleRef == want.RoleRef && equality.Semantic.DeepEqual(have.Subjects, want.Subjects):
		return nil
	case err == nil && have.RoleRef == want.RoleRef:
		want.ResourceVersion = have.ResourceVersion
		err = r.Client.Update(ctx, want)
	case err == nil:
		if err = r.unbind(ctx); err == nil {
			err = r.Client.Create(ctx, want)
		}
	default:
		err = r.Client.Create(ctx, want)
	}
	if err != nil {
		return fmt.Errorf("writing ClusterRoleBinding %s: %w", Binding, err)
	}
	logf.FromContext(ctx).Info("let CoreDNS read ServiceImports", "serviceAccount", Namespace+"/"+account)
	return nil
}

// unbind removes the binding.
func (r *Reconciler) unbind(ctx context.Context) error {
	have := &rbacv1.ClusterRoleBinding{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: Binding}, have); err != nil {
		return client.IgnoreNotFound(err)
	}
	if err := r.Client.Delete(ctx, have); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting ClusterRoleBinding %s: %w", Binding, err)
	}
	return nil
}
