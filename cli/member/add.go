package member

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/apply"
	"github.com/tombolo-net/tombolo/cli/hub"
	"github.com/tombolo-net/tombolo/cli/report"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/install"
)

// maxIndex is the largest Member.spec.index.
const maxIndex = 4095

type addOptions struct {
	access *access.Flags
	genericiooptions.IOStreams
	apply        apply.Options
	hubNamespace string
	server       string
	member       string // context of the cluster itself
	name         string
	spec         v1alpha1.MemberSpec
	cidrs        []string
	namespaces   []string
}

func newAddCommand(flags *access.Flags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &addOptions{access: flags, IOStreams: streams}
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Approve a member, and print the command by which it joins",
		Long: `Approves a cluster as a member of the clusterset, and makes its account on the hub. It prints one command to run with the
cluster's own context. The token in it ends after an hour, or when the cluster has joined with it. Who has the token may join as
that cluster: hand it over as you would a password.

Repeat it to get another token, or to approve other CIDRs. What you do not name stays as it is.`,
		Example: `  kubectl tombolo member add east --cidrs 10.1.0.0/16
  kubectl tombolo member add east --member-context east     # proposes CIDRs
  kubectl tombolo member add east --cidrs 10.1.0.0/16 --server https://hub.example.com:6443`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { o.name = args[0]; return o.run(cmd.Context()) },
	}
	f := c.Flags()
	f.StringSliceVar(&o.cidrs, "cidrs", nil, "all that the member may publish and send from, as a rule its pods, such as 10.1.0.0/16")
	f.Int32Var(&o.spec.Index, "index", 0, "1 to 4095, unique and for good; 0 takes the smallest that is free")
	f.StringVar(&o.spec.Region, "region", "", "where the cluster is, as in the node label topology.kubernetes.io/region")
	f.StringVar(&o.spec.ZoneDomain, "zone-domain", "", "who named the cluster's zones; zones are shared with members that say the same")
	f.StringSliceVar(&o.namespaces, "namespaces", nil, "namespaces that the cluster may export from; without it all but system namespaces")
	f.StringVar(&o.server, "server", "", "URL of the hub's API server, as the member reaches it; without it that of the kubeconfig")
	f.StringVar(&o.member, "member-context", "", "context of the member itself, to propose CIDRs if --cidrs is missing")
	f.StringVar(&o.hubNamespace, "hub-namespace", "", "the hub's namespace; without it the only one that the cluster has")
	o.apply.Bind(c)
	return c
}

func (o *addOptions) run(ctx context.Context) error {
	if err := o.apply.Validate(); err != nil {
		return err
	}
	cluster, err := o.access.Cluster()
	if err != nil {
		return err
	}
	server, err := o.serverFor(ctx, cluster)
	if err != nil {
		return err
	}
	namespace, clusterSet, err := hub.Find(ctx, cluster, o.hubNamespace)
	if err != nil {
		return err
	}
	member, err := o.wanted(ctx, cluster, namespace)
	if err != nil {
		return err
	}
	if o.apply.DryRun() {
		return o.apply.Print(o.Out, append([]client.Object{member}, install.MemberAccount(member)...)...)
	}
	steps := report.NewSteps(o.ErrOut)
	invitation := install.Invitation{ClusterSetID: clusterSet, ClusterID: v1alpha1.ClusterID(o.name), Server: server, Namespace: namespace}
	what := fmt.Sprintf("approved member %s: index %d, CIDRs %s", o.name, member.Spec.Index, words(member.Spec.CIDRs))
	err = steps.Do(ctx, what, func(ctx context.Context, _ func(string)) error {
		if err := apply.Objects(ctx, cluster, member); err != nil {
			return err
		}
		return o.invite(ctx, cluster, member, &invitation)
	})
	if err != nil {
		return err
	}
	word, err := invitation.Encode()
	if err != nil {
		return err
	}
	steps.Say("\nWithin an hour, run this with the context of cluster %s:\n", o.name)
	_, err = fmt.Fprintf(o.Out, "kubectl tombolo join %s\n", word)
	return err
}

// wanted is the Member as it should be: as it is, with what the flags say.
func (o *addOptions) wanted(ctx context.Context, cluster client.Client, namespace string) (*v1alpha1.Member, error) {
	var all v1alpha1.MemberList
	if err := cluster.List(ctx, &all, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("reading the Members in namespace %s: %w", namespace, err)
	}
	member := &v1alpha1.Member{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: o.name}}
	used := map[int32]string{}
	for i := range all.Items {
		used[all.Items[i].Spec.Index] = all.Items[i].Name
		if all.Items[i].Name == o.name {
			member = &all.Items[i]
			member.ManagedFields, member.ResourceVersion = nil, ""
		}
	}
	member.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Member"}
	if member.Spec.Removed {
		return nil, fmt.Errorf("member %s was removed: purge it with kubectl tombolo member remove %[1]s --purge and delete the Member, "+
			"or choose another name", o.name)
	}
	if err := o.fill(ctx, &member.Spec); err != nil {
		return nil, err
	}
	if member.Spec.Index == 0 {
		for i := int32(1); i <= maxIndex && member.Spec.Index == 0; i++ {
			if used[i] == "" {
				member.Spec.Index = i
			}
		}
	}
	if other := used[member.Spec.Index]; other != "" && other != o.name {
		return nil, fmt.Errorf("--index %d: member %s has it; give another one, or none", member.Spec.Index, other)
	}
	return member, nil
}

// fill puts into the spec what the flags say.
func (o *addOptions) fill(ctx context.Context, spec *v1alpha1.MemberSpec) error {
	if len(o.cidrs) > 0 {
		spec.CIDRs = nil
		for _, c := range o.cidrs {
			prefix, err := netip.ParsePrefix(c)
			if err != nil || prefix != prefix.Masked() {
				return fmt.Errorf("--cidrs %q: it must be a CIDR without host bits, such as 10.1.0.0/16", c)
			}
			spec.CIDRs = append(spec.CIDRs, v1alpha1.CIDR(c))
		}
	}
	if len(spec.CIDRs) == 0 {
		return o.propose(ctx)
	}
	if len(o.namespaces) > 0 {
		spec.Namespaces = nil
		for _, n := range o.namespaces {
			spec.Namespaces = append(spec.Namespaces, v1alpha1.NamespacePattern(n))
		}
	}
	if o.spec.Index != 0 {
		spec.Index = o.spec.Index
	}
	if o.spec.Region != "" {
		spec.Region = o.spec.Region
	}
	if o.spec.ZoneDomain != "" {
		spec.ZoneDomain = o.spec.ZoneDomain
	}
	return nil
}

// propose returns an error that says which CIDRs to approve, if the member can be asked.
func (o *addOptions) propose(ctx context.Context) error {
	if o.member == "" {
		return fmt.Errorf("--cidrs is missing: name all addresses of the member's pods, such as --cidrs 10.1.0.0/16; with --member-context "+
			"the command looks into cluster %s and proposes them", o.name)
	}
	cluster, err := o.access.Named(o.member)
	if err != nil {
		return err
	}
	var nodes corev1.NodeList
	if err := cluster.List(ctx, &nodes); err != nil {
		return fmt.Errorf("reading the nodes of context %s: %w", o.member, err)
	}
	var found []netip.Prefix
	for _, n := range nodes.Items {
		for _, c := range n.Spec.PodCIDRs {
			if prefix, err := netip.ParsePrefix(c); err == nil {
				found = append(found, prefix)
			}
		}
	}
	if len(found) == 0 {
		return fmt.Errorf("--cidrs is missing, and the nodes of cluster %s have no podCIDRs: its CNI gives pods their addresses; look there", o.name)
	}
	return fmt.Errorf("--cidrs is missing. The pods of cluster %s are in %s now; if nodes that come later get addresses of a larger block, name "+
		"that one: --cidrs %[2]s", o.name, words(cover(found)))
}

// invite makes the member's account, and puts into the invitation what the member needs of it.
func (o *addOptions) invite(ctx context.Context, cluster client.Client, member *v1alpha1.Member, invitation *install.Invitation) error {
	stored := &v1alpha1.Member{}
	if err := cluster.Get(ctx, client.ObjectKeyFromObject(member), stored); err != nil {
		return fmt.Errorf("reading Member %s: %w", member.Name, err)
	}
	if err := apply.Objects(ctx, cluster, install.MemberAccount(stored)...); err != nil {
		return err
	}
	id := v1alpha1.ClusterID(member.Name)
	secret := &corev1.Secret{}
	if err := cluster.Get(ctx, client.ObjectKey{Namespace: member.Namespace, Name: clusterset.JoinSecretName(id)}, secret); err != nil {
		return fmt.Errorf("reading the Secret of the join token: %w", err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: member.Namespace, Name: clusterset.MemberServiceAccount(id)}}
	token := install.JoinToken(secret)
	if err := cluster.SubResource("token").Create(ctx, account, token); err != nil {
		return fmt.Errorf("getting a join token of ServiceAccount %s/%s: %w", account.Namespace, account.Name, err)
	}
	ca := &corev1.ConfigMap{}
	err := cluster.Get(ctx, client.ObjectKey{Namespace: member.Namespace, Name: "kube-root-ca.crt"}, ca)
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("ConfigMap kube-root-ca.crt in namespace %s is missing: the hub's kube-controller-manager makes it; try again", member.Namespace)
	}
	if err != nil {
		return fmt.Errorf("reading the certificate of the hub: %w", err)
	}
	invitation.Token, invitation.CA = token.Status.Token, ca.Data["ca.crt"]
	return nil
}

func words[S any](all []S) string {
	list := make([]string, 0, len(all))
	for _, s := range all {
		list = append(list, fmt.Sprint(s))
	}
	return strings.Join(list, ",")
}
