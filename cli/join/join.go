// Package join is `kubectl tombolo join` and `kubectl tombolo leave`: they make a cluster a member,
// and undo that.
package join

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/apply"
	"github.com/tombolo-net/tombolo/cli/report"
	"github.com/tombolo-net/tombolo/internal/install"
)

type options struct {
	access *access.Flags
	genericiooptions.IOStreams
	apply    apply.Options
	manifest install.MemberConfig
	gateways []string
	dns      string
	timeout  time.Duration
}

// NewCommand returns the command. image is what it installs if the user names none.
func NewCommand(flags *access.Flags, streams genericiooptions.IOStreams, image string) *cobra.Command {
	o := &options{access: flags, IOStreams: streams}
	c := &cobra.Command{
		Use:   "join TOKEN",
		Short: "Install tombolo in the current cluster and join the clusterset",
		Long: `Installs tombolo in the current cluster, joins the clusterset with a token of kubectl tombolo member add, and waits until the
cluster works or says what does not. With - it is read from standard input, so that it is not in the list of processes; what member add
prints may be piped in as it is.

It may be repeated: what is there stays, and costs no tunnel.`,
		Example: `  kubectl tombolo join tombolo-join.eyJ... --gateways east-1,east-2
  kubectl tombolo member add east --context hub --cidrs 10.1.0.0/16 | kubectl tombolo join - --context east --gateways auto
  kubectl tombolo join tombolo-join.eyJ... --dry-run=client -o yaml > member.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	f := c.Flags()
	f.StringSliceVar(&o.gateways, "gateways", nil, "nodes that carry the tunnels; auto takes two that fit. Without it those that are labelled already")
	f.StringVar(&o.manifest.Namespace, "tombolo-namespace", v1alpha1.DefaultNamespace, "the namespace that tombolo runs in")
	f.StringVar(&o.manifest.Image, "image", image, "tombolo's image")
	f.BoolVar(&o.manifest.UserspaceWireGuard, "userspace-wireguard", false, "for nodes whose kernel has no WireGuard")
	f.StringVar(&o.dns, "dns", "", "Managed or Manual: who configures CoreDNS; without it as it is, and Managed in a new cluster")
	f.DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long to wait until the cluster works")
	o.apply.Bind(c)
	return c
}

func (o *options) run(ctx context.Context, word string) error {
	if err := o.apply.Validate(); err != nil {
		return err
	}
	if o.dns != "" && o.dns != string(v1alpha1.DNSManaged) && o.dns != string(v1alpha1.DNSManual) {
		return fmt.Errorf("--dns %q: it may be Managed or Manual", o.dns)
	}
	if word == "-" {
		text, err := io.ReadAll(o.In)
		if err != nil {
			return fmt.Errorf("reading the token from standard input: %w", err)
		}
		word = lastWord(string(text))
	}
	invitation, err := install.DecodeInvitation(word)
	if err != nil {
		return err
	}
	manifests, err := install.MemberManifests(o.manifest)
	if err != nil {
		return err
	}
	objects := make([]client.Object, 0, len(manifests))
	for _, m := range manifests {
		objects = append(objects, m)
	}
	if o.apply.DryRun() {
		dns := v1alpha1.DNSMode(o.dns)
		if dns == "" {
			dns = v1alpha1.DNSManaged
		}
		return o.apply.Print(o.Out, append(objects, invitation.HubSecret(o.manifest.Namespace), invitation.ClusterSet(dns))...)
	}
	cluster, err := o.access.Cluster()
	if err != nil {
		return err
	}
	return o.join(ctx, cluster, invitation, objects)
}

// lastWord is the token in what member add prints, which is a whole command, or the token alone.
func lastWord(text string) string {
	words := strings.Fields(text)
	if len(words) == 0 {
		return ""
	}
	return words[len(words)-1]
}

func (o *options) join(ctx context.Context, cluster *access.Cluster, invitation install.Invitation, objects []client.Object) error {
	began := time.Now()
	gateways, err := o.gatewayNodes(ctx, cluster)
	if err != nil {
		return err
	}
	set, connected, err := o.clusterSet(ctx, cluster, invitation)
	if err != nil {
		return err
	}
	steps := report.NewSteps(o.ErrOut)
	for _, step := range []struct {
		what string
		do   func(ctx context.Context, say func(string)) error
	}{
		{"installed tombolo in namespace " + o.manifest.Namespace, func(ctx context.Context, say func(string)) error {
			if err := applyAll(ctx, cluster, objects, say); err != nil {
				return err
			}
			return apply.Established(ctx, cluster, objects...)
		}},
		{"gateways: " + strings.Join(gateways, ", "), func(ctx context.Context, _ func(string)) error {
			return label(ctx, cluster, gateways)
		}},
		{fmt.Sprintf("cluster %s joins clusterset %s", invitation.ClusterID, invitation.ClusterSetID), func(ctx context.Context, _ func(string)) error {
			if connected {
				return apply.Objects(ctx, cluster, set) // its own token is better than a join token, which may be spent
			}
			return apply.Objects(ctx, cluster, invitation.HubSecret(o.manifest.Namespace), set)
		}},
		{"it works", func(ctx context.Context, say func(string)) error { return o.works(ctx, cluster, began, say) }},
	} {
		if err := steps.Do(ctx, step.what, step.do); err != nil {
			return err
		}
	}
	steps.Say("\nExport a Service with: kubectl tombolo export NAME -n NAMESPACE\nLook at the clusterset with: kubectl tombolo status")
	return nil
}

// applyAll applies the objects and says how far it is.
func applyAll(ctx context.Context, cluster client.Client, objects []client.Object, say func(string)) error {
	for i, object := range objects {
		say(fmt.Sprintf("%d of %d", i, len(objects)))
		if err := apply.Objects(ctx, cluster, object); err != nil {
			return err
		}
	}
	return nil
}

// clusterSet is the ClusterSet that the cluster should have, and whether the cluster is connected to
// that hub already. It refuses a cluster that is a member
// already, under another name or of another clusterset.
func (o *options) clusterSet(ctx context.Context, cluster client.Client, invitation install.Invitation) (set *v1alpha1.ClusterSet, connected bool, err error) {
	have := &v1alpha1.ClusterSet{}
	err = cluster.Get(ctx, client.ObjectKey{Name: v1alpha1.ClusterSetName}, have)
	if absent(err) {
		have, err = nil, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading the ClusterSet: %w", err)
	}
	dns := v1alpha1.DNSMode(o.dns)
	switch {
	case dns == "" && have != nil:
		dns = have.Spec.DNS
	case dns == "":
		dns = v1alpha1.DNSManaged
	}
	if have != nil && (have.Spec.ClusterID != invitation.ClusterID || have.Spec.ClusterSetID != invitation.ClusterSetID) {
		return nil, false, fmt.Errorf("this cluster is member %s of clusterset %s, and the token is for member %s of %s: is this the right --context? "+
			"To move the cluster, run kubectl tombolo leave first", have.Spec.ClusterID, have.Spec.ClusterSetID, invitation.ClusterID, invitation.ClusterSetID)
	}
	connected = have != nil && have.Spec.Hub.Server == invitation.Server && meta.IsStatusConditionTrue(have.Status.Conditions, v1alpha1.ConditionHubConnected)
	return invitation.ClusterSet(dns), connected, nil
}

var errNotInTime = errors.New("it does not work yet")
