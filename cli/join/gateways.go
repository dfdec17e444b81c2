package join

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// automatic is how many gateways `--gateways auto` takes, so that one may fail.
const automatic = 2

// gatewayNodes are the nodes that are to be gateways, by name: those that the user names, those that
// fit best, or those that are gateways already.
func (o *options) gatewayNodes(ctx context.Context, cluster client.Client) ([]string, error) {
	var nodes corev1.NodeList
	if err := cluster.List(ctx, &nodes); err != nil {
		return nil, fmt.Errorf("reading the nodes: %w", err)
	}
	var all, labelled []string
	for _, n := range nodes.Items {
		all = append(all, n.Name)
		if n.Labels[v1alpha1.LabelGateway] == "true" {
			labelled = append(labelled, n.Name)
		}
	}
	switch {
	case len(o.gateways) == 0 && len(labelled) > 0:
		return labelled, nil
	case len(o.gateways) == 0:
		return nil, fmt.Errorf("no node carries the tunnels yet: name two, so that one may fail, with --gateways NODE,NODE, or let --gateways auto "+
			"choose; the nodes are %s", strings.Join(all, ", "))
	case len(o.gateways) == 1 && o.gateways[0] == "auto":
		if len(labelled) > 0 {
			return labelled, nil
		}
		chosen := choose(nodes.Items)
		if len(chosen) == 0 {
			return nil, errors.New("--gateways auto: no node is ready and schedulable; name the nodes")
		}
		return chosen, nil
	}
	for _, name := range o.gateways {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("--gateways: there is no node %s; the nodes are %s", name, strings.Join(all, ", "))
		}
	}
	return o.gateways, nil
}

// choose takes the nodes that fit best: ready, open for pods, no control plane if there are others,
// and from different zones if there are several.
func choose(nodes []corev1.Node) []string {
	fit := slices.DeleteFunc(slices.Clone(nodes), func(n corev1.Node) bool { return n.Spec.Unschedulable || !isReady(&n) })
	slices.SortFunc(fit, func(a, b corev1.Node) int {
		return cmp.Or(cmp.Compare(controlPlane(&a), controlPlane(&b)), cmp.Compare(a.Name, b.Name))
	})
	zones := map[string]bool{}
	var first, rest []string
	for i := range fit {
		zone := fit[i].Labels[corev1.LabelTopologyZone]
		if !zones[zone] {
			zones[zone] = true
			first = append(first, fit[i].Name)
			continue
		}
		rest = append(rest, fit[i].Name)
	}
	all := append(first, rest...)
	return all[:min(automatic, len(all))]
}

func controlPlane(n *corev1.Node) int {
	if _, ok := n.Labels["node-role.kubernetes.io/control-plane"]; ok {
		return 1
	}
	return 0
}

func isReady(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// label makes the nodes gateways.
func label(ctx context.Context, cluster client.Client, names []string) error {
	for _, name := range names {
		node := &corev1.Node{}
		if err := cluster.Get(ctx, client.ObjectKey{Name: name}, node); err != nil {
			return fmt.Errorf("reading node %s: %w", name, err)
		}
		if node.Labels[v1alpha1.LabelGateway] == "true" {
			continue
		}
		before := node.DeepCopy()
		if node.Labels == nil {
			node.Labels = map[string]string{}
		}
		node.Labels[v1alpha1.LabelGateway] = "true"
		if err := cluster.Patch(ctx, node, client.MergeFrom(before)); err != nil {
			return fmt.Errorf("labelling node %s as a gateway: %w", name, err)
		}
	}
	return nil
}

// absent tells whether an object, or its kind, is not there.
func absent(err error) bool { return apierrors.IsNotFound(err) || meta.IsNoMatchError(err) }
