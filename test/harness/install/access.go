package install

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/apply"
	"github.com/tombolo-net/tombolo/controllers/operator"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/install"
)

// client reaches the cluster of a context.
func (i *installation) client(context string) (client.Client, error) {
	config, err := i.restConfig(context)
	if err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: operator.NewScheme()})
	if err != nil {
		return nil, fmt.Errorf("preparing a client of %s: %w", context, err)
	}
	return c, nil
}

// joinMember makes the cluster the member number index, as kubectl tombolo does.
func (i *installation) joinMember(ctx context.Context, index int32, c Cluster) error {
	if err := i.establish(ctx, i.Hub, "members"); err != nil {
		return err
	}
	invitation, err := i.invite(ctx, index, c)
	if err != nil {
		return err
	}
	if err := i.establish(ctx, c.Name, "clustersets"); err != nil {
		return err
	}
	member, err := i.client(c.Name)
	if err != nil {
		return err
	}
	return apply.Objects(ctx, member, invitation.HubSecret(memberNamespace), invitation.ClusterSet(v1alpha1.DNSManaged))
}

// invite approves the cluster on the hub, makes its account there, and returns what it joins with.
func (i *installation) invite(ctx context.Context, index int32, c Cluster) (install.Invitation, error) {
	invitation := install.Invitation{ClusterSetID: ClusterSetID, ClusterID: v1alpha1.ClusterID(c.Name), Server: c.HubServer, Namespace: hubNamespace}
	hub, err := i.client(i.Hub)
	if err != nil {
		return invitation, err
	}
	if err := apply.Objects(ctx, hub, memberOnHub(index, c)); err != nil {
		return invitation, err
	}
	member := &v1alpha1.Member{}
	if err := hub.Get(ctx, client.ObjectKey{Namespace: hubNamespace, Name: c.Name}, member); err != nil {
		return invitation, fmt.Errorf("reading Member %s: %w", c.Name, err)
	}
	if err := apply.Objects(ctx, hub, install.MemberAccount(member)...); err != nil {
		return invitation, err
	}
	join := &corev1.Secret{ObjectMeta: onHub(clusterset.JoinSecretName(invitation.ClusterID))}
	if err := hub.Get(ctx, client.ObjectKeyFromObject(join), join); err != nil {
		return invitation, fmt.Errorf("reading the Secret of the join token: %w", err)
	}
	token := install.JoinToken(join)
	account := clusterset.MemberServiceAccount(invitation.ClusterID)
	if err := hub.SubResource("token").Create(ctx, &corev1.ServiceAccount{ObjectMeta: onHub(account)}, token); err != nil {
		return invitation, fmt.Errorf("getting a join token of %s: %w", account, err)
	}
	ca := &corev1.ConfigMap{ObjectMeta: onHub("kube-root-ca.crt")}
	if err := poll(ctx, func(ctx context.Context) error { return hub.Get(ctx, client.ObjectKeyFromObject(ca), ca) }); err != nil {
		return invitation, fmt.Errorf("waiting for ConfigMap %s on the hub: %w", ca.Name, err)
	}
	invitation.Token, invitation.CA = token.Status.Token, ca.Data["ca.crt"]
	return invitation, nil
}

// memberOnHub is what the hub's admin approves.
func memberOnHub(index int32, c Cluster) *v1alpha1.Member {
	member := &v1alpha1.Member{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Member"},
		ObjectMeta: onHub(c.Name),
		Spec:       v1alpha1.MemberSpec{Index: index, Region: c.Name},
	}
	for _, cidr := range c.PodCIDRs {
		member.Spec.CIDRs = append(member.Spec.CIDRs, v1alpha1.CIDR(cidr.String()))
	}
	return member
}

func onHub(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: hubNamespace, Name: name}
}
