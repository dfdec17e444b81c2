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
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
)

// clusterRole gives CoreDNS rights beyond those in its own manifests; config/rbac has it. Binding
// is ours. An admin who configures CoreDNS by hand has a binding of another name (config/coredns),
// which we never touch.
const (
	clusterRole = "tombolo-coredns"
	Binding     = "tombolo-coredns-managed"
)

// bindingFor is the binding that lets the ServiceAccount read ServiceImports.
func bindingFor(account string) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: Binding, Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: Namespace, Name: account}},
	}
}

// bind writes the binding if it differs. The role of a binding cannot be changed, so bind replaces
// a binding of another role.
func (r *Reconciler) bind(ctx context.Context, account string) error {
	want := bindingFor(account)
	have, err := r.binding(ctx)
	switch {
	case err != nil:
		return err
	case have == nil:
		err = r.Client.Create(ctx, want)
	case have.RoleRef != want.RoleRef:
		if err = r.unbind(ctx); err == nil {
			err = r.Client.Create(ctx, want)
		}
	case equality.Semantic.DeepEqual(have.Subjects, want.Subjects):
		return nil
	default:
		want.ResourceVersion = have.ResourceVersion
		err = r.Client.Update(ctx, want)
	}
	if err != nil {
		return fmt.Errorf("writing ClusterRoleBinding %s: %w", Binding, err)
	}
	logf.FromContext(ctx).Info("let CoreDNS read ServiceImports", "serviceAccount", Namespace+"/"+account)
	return nil
}

// unbind deletes the binding.
func (r *Reconciler) unbind(ctx context.Context) error {
	have, err := r.binding(ctx)
	if err != nil || have == nil {
		return err
	}
	if err := r.Client.Delete(ctx, have); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting ClusterRoleBinding %s: %w", Binding, err)
	}
	return nil
}

func (r *Reconciler) binding(ctx context.Context) (*rbacv1.ClusterRoleBinding, error) {
	return optional.Get[rbacv1.ClusterRoleBinding](ctx, r.Client, client.ObjectKey{Name: Binding})
}
