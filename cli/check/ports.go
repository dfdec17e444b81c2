package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/portprobe"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

const (
	// mostNodes get a pod, gateways first.
	mostNodes = 6
	// mostGateways of a cluster are tried from other clusters.
	mostGateways = 2
	// atOnce is how many ways are tried at a time.
	atOnce = 8
)

// site is a cluster in which ports are tried.
type site struct {
	portprobe.Cluster
	facts facts
	of    int // its place among what was checked
	// taken are the nodes on which others have a port, by the port.
	taken map[uint16][]string
}

// probed are the nodes that get a pod.
func probed(all []corev1.Node) []corev1.Node {
	linux := slices.DeleteFunc(slices.Clone(all), func(n corev1.Node) bool { return n.Status.NodeInfo.OperatingSystem != "linux" })
	gateway := func(n corev1.Node) int {
		if n.Labels[v1alpha1.LabelGateway] == "true" {
			return 0
		}
		return 1
	}
	slices.SortFunc(linux, func(a, b corev1.Node) int {
		return cmp.Or(cmp.Compare(gateway(a), gateway(b)), cmp.Compare(a.Name, b.Name))
	})
	return linux[:min(len(linux), mostNodes)]
}

// probePorts tries the ports of clusters that tombolo is not installed in.
func (o *options) probePorts(ctx context.Context, all []*site, add func(*site, []result), say func(string)) (err error) {
	var sites []*site
	for _, s := range all {
		if s.facts.ClusterSet != nil {
			add(s, good("ports", "tombolo has them, and its agents say whether packets pass: see nodes, gateways and remote-clusters"))
			continue
		}
		say("making pods in " + s.Context)
		defer func() { err = errors.Join(err, s.Remove(ctx)) }()
		if err := s.Make(ctx, o.image); err != nil {
			return fmt.Errorf("context %q: %w", s.Context, err)
		}
		sites = append(sites, s)
	}
	for _, s := range sites {
		say("looking at the ports of " + s.Context)
		found, err := s.free(ctx)
		if err != nil {
			return err
		}
		add(s, found)
	}
	for _, s := range sites {
		say("trying the ways from the nodes of " + s.Context)
		add(s, s.between(ctx))
		for _, other := range sites {
			if other != s {
				add(s, s.towards(ctx, other))
			}
		}
	}
	return nil
}

// free tells whether other programs have the ports.
func (s *site) free(ctx context.Context) ([]result, error) {
	var taken []string
	s.taken = map[uint16][]string{}
	for i := range s.Nodes {
		for _, port := range []uint16{portprobe.VXLAN, portprobe.WireGuard} {
			who, err := s.Taken(ctx, s.Nodes[i].Name, port)
			if err != nil {
				return nil, err
			}
			if who != "" {
				s.taken[port] = append(s.taken[port], s.Nodes[i].Name)
				taken = append(taken, fmt.Sprintf("UDP %d of node %s (%s)", port, s.Nodes[i].Name, strings.TrimSpace(who)))
			}
		}
	}
	if len(taken) > 0 {
		return bad("ports", "another program, or a device of the kernel, has %s: free it, or choose others in ClusterSet.spec.dataplane.vxlanPort and "+
			"spec.gateway.port", clusterset.NameSome(taken)), nil
	}
	return good("ports", "UDP %d and %d are free on %d nodes", portprobe.VXLAN, portprobe.WireGuard, len(s.Nodes)), nil
}

// between tells whether VXLAN's packets pass from each node to each other one.
func (s *site) between(ctx context.Context) []result {
	var ways []way
	for i := range s.Nodes {
		for j := range s.Nodes {
			if i != j && !slices.Contains(s.taken[portprobe.VXLAN], s.Nodes[j].Name) {
				ways = append(ways, way{s.Nodes[i].Name, s.Nodes[j].Name})
			}
		}
	}
	lost := s.lost(ctx, s, ways, portprobe.VXLAN)
	if len(lost) > 0 {
		return bad("node-network", "UDP %d does not pass from node %s: let the nodes' firewalls and security groups admit it, both ways", portprobe.VXLAN, clusterset.NameSome(lost))
	}
	return good("node-network", "UDP %d passes on all %d ways between nodes that have it free", portprobe.VXLAN, len(ways))
}

// towards tells whether WireGuard's packets pass to another cluster's nodes.
func (s *site) towards(ctx context.Context, other *site) []result {
	var ways []way
	for _, from := range s.Nodes[:min(len(s.Nodes), mostGateways)] {
		for _, to := range other.Nodes[:min(len(other.Nodes), mostGateways)] {
			if !slices.Contains(other.taken[portprobe.WireGuard], to.Name) {
				ways = append(ways, way{from.Name, to.Name})
			}
		}
	}
	lost := s.lost(ctx, other, ways, portprobe.WireGuard)
	if len(lost) > 0 {
		return []result{{"gateway-network", isWarning, fmt.Sprintf("UDP %d does not pass to cluster %s from node %s, at the nodes' own addresses: if these are to be gateways, "+
			"open UDP 51820 to 51883 both ways, or give them public addresses", portprobe.WireGuard, other.Context, clusterset.NameSome(lost))}}
	}
	return good("gateway-network", "UDP %d passes to cluster %s on all %d ways that were tried", portprobe.WireGuard, other.Context, len(ways))
}

// way is from a node to another one.
type way struct{ from, to string }

// lost are the ways on which packets to the port are lost, in words.
func (s *site) lost(ctx context.Context, other *site, ways []way, port uint16) []string {
	faults := make([]error, len(ways))
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i, w := range ways {
		g.Go(func() error { faults[i] = s.Passes(ctx, w.from, &other.Cluster, w.to, port); return nil })
	}
	_ = g.Wait() // the faults are told
	var lost []string
	for i, err := range faults {
		if err != nil {
			lost = append(lost, ways[i].from+" to "+ways[i].to)
		}
	}
	return lost
}
