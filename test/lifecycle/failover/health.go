package failover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// Healthy returns when both clusters are whole: nodes and tombolo's pods are ready, each gateway is
// ready, alive and not draining, and every link between them is up.
func (s *Site) Healthy(ctx context.Context) error {
	_, err := shell.Eventually(ctx, within, func(ctx context.Context) (string, error) {
		var east, west state
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() (err error) { east, err = s.state(ctx, exporter); return err })
		g.Go(func() (err error) { west, err = s.state(ctx, importer); return err })
		if err := g.Wait(); err != nil {
			return "", err
		}
		return "", errors.Join(east.whole(west.gateways()), west.whole(east.gateways()))
	})
	if err != nil {
		return fmt.Errorf("waiting for both clusters to be whole: %w", err)
	}
	return nil
}

// state is what a cluster says of itself.
type state struct {
	cluster string
	nodes   []corev1.Node
	pods    []corev1.Pod // tombolo's
	gwNodes []v1alpha1.GatewayNode
	remotes []v1alpha1.RemoteCluster
}

// state asks a cluster, once.
func (s *Site) state(ctx context.Context, cluster string) (state, error) {
	out, err := s.Kubectl(ctx, cluster, "get", "nodes,pods,gatewaynodes,remoteclusters", "--namespace", memberNamespace, "--output", "json", "--request-timeout=10s")
	if err != nil {
		return state{}, err
	}
	return parseState(cluster, []byte(out))
}

// parseState reads a list of objects of different kinds.
func parseState(cluster string, data []byte) (state, error) {
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return state{}, fmt.Errorf("reading objects of %s: %w", cluster, err)
	}
	st := state{cluster: cluster}
	for _, item := range list.Items {
		if err := st.add(item); err != nil {
			return st, fmt.Errorf("reading objects of %s: %w", cluster, err)
		}
	}
	return st, nil
}

func (st *state) add(object []byte) error {
	var kind metav1.TypeMeta
	if err := json.Unmarshal(object, &kind); err != nil {
		return err
	}
	switch kind.Kind {
	case "Node":
		return appendTo(&st.nodes, object)
	case "Pod":
		return appendTo(&st.pods, object)
	case "GatewayNode":
		return appendTo(&st.gwNodes, object)
	case "RemoteCluster":
		return appendTo(&st.remotes, object)
	}
	return fmt.Errorf("object of kind %q", kind.Kind)
}

func appendTo[T any](list *[]T, object []byte) error {
	var one T
	err := json.Unmarshal(object, &one)
	*list = append(*list, one)
	return err
}

// gateways returns the names of the nodes that are labelled as gateways.
func (st *state) gateways() (names []string) {
	for _, n := range st.nodes {
		if n.Labels[gatewayLabel] == "true" {
			names = append(names, n.Name)
		}
	}
	return names
}

// whole returns nil if the cluster is, and reaches all of the other one's gateways.
func (st *state) whole(others []string) error {
	for _, n := range st.nodes {
		if n.Spec.Unschedulable || !slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		}) {
			return fmt.Errorf("node %s is not ready", n.Name)
		}
	}
	for _, p := range st.pods {
		if p.DeletionTimestamp != nil || !slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}) {
			return fmt.Errorf("pod %s of %s is not ready", p.Name, st.cluster)
		}
	}
	return errors.Join(st.gatewaysReady(), st.linksUp(others))
}

// gatewaysReady returns nil if each gateway's node, and no other, has a GatewayNode, and all is well
// with that.
func (st *state) gatewaysReady() error {
	own := st.gateways()
	for _, g := range st.gwNodes {
		switch {
		case !slices.Contains(own, g.Spec.NodeName):
			return fmt.Errorf("gatewaynode %s is there though its node is no gateway", g.Name)
		case !meta.IsStatusConditionTrue(g.Status.Conditions, v1alpha1.ConditionReady):
			return fmt.Errorf("gatewaynode %s is not ready", g.Name)
		case meta.IsStatusConditionFalse(g.Status.Conditions, v1alpha1.ConditionAlive):
			return fmt.Errorf("gatewaynode %s is not alive", g.Name)
		case meta.IsStatusConditionTrue(g.Status.Conditions, v1alpha1.ConditionDraining):
			return fmt.Errorf("gatewaynode %s is draining", g.Name)
		}
	}
	if len(st.gwNodes) != len(own) {
		return fmt.Errorf("cluster %s has %d gatewaynodes for %d gateway nodes", st.cluster, len(st.gwNodes), len(own))
	}
	return nil
}

// linksUp returns nil if each gateway has a link that is up to each of the other cluster's.
func (st *state) linksUp(others []string) error {
	own := st.gateways()
	up := 0
	for _, r := range st.remotes {
		if !meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionReachable) {
			return fmt.Errorf("%s does not reach %s", st.cluster, r.Name)
		}
		for _, g := range r.Status.Links {
			for _, l := range g.Links {
				if slices.Contains(own, g.Gateway) && slices.Contains(others, l.RemoteGateway) && l.State == v1alpha1.LinkUp {
					up++
				}
			}
		}
	}
	if want := len(own) * len(others); up != want {
		return fmt.Errorf("%s has %d links that are up, want %d", st.cluster, up, want)
	}
	return nil
}
