package gather

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// maxNodes is of how many nodes that are neither gateways nor in trouble the bundle has the kernel's
// state.
const maxNodes = 10

// question is what an agent's pod can print.
type question struct {
	file, what string
	command    []string
}

func page(file, what, address, path string) question {
	return question{file, what, []string{"/tombolo", "dump", "page", address, path}}
}

func dump(part, what string) question {
	return question{part + ".txt", what, []string{"/tombolo", "dump", part}}
}

// ofKernel is what any agent of a node can print: agents share the node's network. Devices that a
// gateway's agent serves itself are an exception. Only its own pod sees them.
var ofKernel = []question{
	dump("network", "links, addresses, rules, routes, neighbours"),
	dump("ipvs", "virtual services and their destinations"),
	dump("wireguard", "devices and peers"),
	dump("settings", "sysctls, modules, sockets, load"),
	{"nft.txt", "nftables: all rules, without the elements of sets and maps", []string{"nft", "--terse", "list", "ruleset"}},
}

// ofAgent is what the process itself says, by the label app.kubernetes.io/name of its pods.
var ofAgent = map[string][]question{
	"tombolo-operator": {page("metrics.txt", "metrics", "127.0.0.1:7473", "/metrics")},
	"tombolo-gateway":  {page("gateway-metrics.txt", "metrics of the gateway", "127.0.0.1:7474", "/metrics")},
	"tombolo-dataplane": {
		page("dataplane-metrics.txt", "metrics of the dataplane", "127.0.0.1:7475", "/metrics"),
		page("gateways.json", "which gateways the dataplane uses, and why", "127.0.0.1:7476", "/gateways"),
		page("served.txt", "the ServiceImports that the dataplane serves", "127.0.0.1:7476", "/explain"),
	},
}

// nodes puts what the agents' pods can print into the bundle.
func (g *gathering) nodes(ctx context.Context, say func(string)) error {
	taken, left := choose(g.snapshot.Nodes, g.only)
	if len(left) > 0 {
		g.lack(fmt.Sprintf("the kernels' state of %d nodes", len(left)), errors.New("they are not in trouble, and there are many: --nodes names others"))
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	asked := map[string]bool{}
	for _, pod := range gatewaysFirst(g.pods) {
		name := pod.Labels["app.kubernetes.io/name"]
		folder := "nodes/" + pod.Spec.NodeName
		questions := ofAgent[name]
		switch {
		case name == "tombolo-operator":
			folder = "operator/" + pod.Name
		case !slices.Contains(taken, pod.Spec.NodeName):
			continue
		case !asked[pod.Spec.NodeName] && isRunning(pod):
			asked[pod.Spec.NodeName] = true
			questions = append(slices.Clone(ofKernel), questions...)
		}
		for _, q := range questions {
			group.Go(func() error {
				say(pod.Spec.NodeName + ": " + q.what)
				return g.ask(ctx, pod, folder, q)
			})
		}
	}
	for _, node := range taken {
		if !asked[node] {
			g.lack("the kernel's state of node "+node, errors.New("no agent runs there"))
		}
	}
	return group.Wait()
}

// gatewaysFirst are the pods in such an order that a gateway's is the first of its node.
func gatewaysFirst(pods []corev1.Pod) []*corev1.Pod {
	var gateways, others []*corev1.Pod
	for i := range pods {
		if pod := &pods[i]; pod.Labels["app.kubernetes.io/name"] == "tombolo-gateway" {
			gateways = append(gateways, pod)
		} else {
			others = append(others, pod)
		}
	}
	return append(gateways, others...)
}

func (g *gathering) ask(ctx context.Context, pod *corev1.Pod, folder string, q question) error {
	within, stop := context.WithTimeout(ctx, oneRequest)
	defer stop()
	said, err := g.Exec(within, pod, nil, q.command...)
	if err != nil {
		g.lack(fmt.Sprintf("%s/%s (%s)", folder, q.file, q.what), err)
	}
	if len(said) == 0 {
		return nil
	}
	return g.bundle.add(fmt.Sprintf("%s/%s/%s", g.facts.Folder, folder, q.file), q.what, said)
}

func isRunning(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.State.Running != nil })
}

// choose returns the nodes whose state is gathered, and the others: those that the user names, or
// gateways, those that do not serve, and some of the rest.
func choose(nodes []corev1.Node, only []string) (taken, left []string) {
	var rest []string
	for i := range nodes {
		n := &nodes[i]
		switch {
		case len(only) > 0:
			if slices.Contains(only, n.Name) {
				taken = append(taken, n.Name)
			}
		case n.Labels[v1alpha1.LabelGateway] == "true" || !serves(n):
			taken = append(taken, n.Name)
		default:
			rest = append(rest, n.Name)
		}
	}
	slices.SortFunc(rest, strings.Compare)
	some := min(maxNodes, len(rest))
	return append(taken, rest[:some]...), rest[some:]
}

func serves(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == v1alpha1.NodeConditionDataplane && c.Status == corev1.ConditionTrue
	})
}
