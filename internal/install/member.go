// Package install knows the objects by which a cluster joins a clusterset (docs/install.md). It makes
// no request.
package install

import (
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// memberRole is the Role of all members, which config/hub has.
const memberRole = "tombolo-member"

// JoinTokenLife is how long a cluster has to join with its join token.
const JoinTokenLife = time.Hour

// MemberAccount returns what the hub's admin makes for the cluster of a Member that exists: its
// ServiceAccount, its rights, and the Secret that its join token is bound to. The account with all
// rights belongs to the Member, so it goes with the Member.
func MemberAccount(member *v1alpha1.Member) []client.Object {
	cluster := v1alpha1.ClusterID(member.Name)
	account, token, join := clusterset.MemberServiceAccount(cluster), clusterset.MemberTokenRole(cluster), clusterset.JoinSecretName(cluster)
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: member.Namespace, Name: name, OwnerReferences: []metav1.OwnerReference{{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: "Member", Name: member.Name, UID: member.UID,
		}}}
	}
	binding := func(name, role string) *rbacv1.RoleBinding {
		return &rbacv1.RoleBinding{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
			ObjectMeta: meta(name),
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: member.Namespace, Name: account}},
		}
	}
	secret := &corev1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: meta(join)}
	secret.Labels = map[string]string{v1alpha1.LabelSourceCluster: member.Name}
	return []client.Object{
		&corev1.ServiceAccount{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: meta(account)},
		binding(account, memberRole),
		&rbacv1.Role{
			TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"},
			ObjectMeta: meta(token),
			Rules: []rbacv1.PolicyRule{
				{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{account}, Verbs: []string{"create"}},
				{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{join}, Verbs: []string{"delete"}},
			},
		},
		binding(token, token),
		secret,
	}
}

// JoinToken is the request for a join token, which ends after an hour, or when the Secret is
// deleted.
func JoinToken(join *corev1.Secret) *authenticationv1.TokenRequest {
	return &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: ptr.To(int64(JoinTokenLife / time.Second)),
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Secret", Name: join.Name, UID: join.UID},
	}}
}
