package hub

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// unowned are the members' accounts in the hub's namespace that no Member owns, by name. Before
// v0.1.0, Members owned none. Such an account stays when its Member is deleted, and whoever has its
// token can go on.
func unowned(ctx context.Context, hub client.Reader, namespace string) ([]string, error) {
	var accounts corev1.ServiceAccountList
	if err := hub.List(ctx, &accounts, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("listing ServiceAccounts of namespace %s: %w", namespace, err)
	}
	var names []string
	for i := range accounts.Items {
		owned := slices.ContainsFunc(accounts.Items[i].OwnerReferences, func(o metav1.OwnerReference) bool { return o.Kind == "Member" })
		if strings.HasPrefix(accounts.Items[i].Name, v1alpha1.MemberServiceAccountPrefix) && !owned {
			names = append(names, accounts.Items[i].Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// unownedText tells about such an account, and what to do.
func unownedText(namespace, account string) string {
	name := strings.TrimPrefix(account, v1alpha1.MemberServiceAccountPrefix)
	return fmt.Sprintf("account %s/%s belongs to no Member, and stays when Member %s is deleted: if the cluster is a member, run "+
		"kubectl tombolo member add %[3]s again; if not, kubectl -n %[1]s delete serviceaccount %[2]s", namespace, account, name)
}
