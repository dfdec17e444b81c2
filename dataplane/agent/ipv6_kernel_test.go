//go:build kernel

package agent

import (
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// TestWithoutIPv6: a worker and a gateway on nodes without IPv6, by sysctl or because the kernel has
// none, serve IPv4 with either backend, are ready, and say that IPv6 is left out. They have IPv6
// when that comes back.
func TestWithoutIPv6(t *testing.T) {
	for _, backend := range []v1alpha1.DataplaneBackend{"ipvs", "nftables"} {
		t.Run(string(backend), func(t *testing.T) { withoutIPv6(t, backend) })
	}
}

func withoutIPv6(t *testing.T, backend v1alpha1.DataplaneBackend) {
	worker, pod, gatewayNet, _ := newWorker(t)
	for _, n := range []*netns.Namespace{worker, gatewayNet} {
		n.SetIPv6(false, "all", "default", "lo")
	}
	f := newFixture(t, worker)
	set := clusterSet()
	set.Spec.Dataplane.Backend = backend
	set.Spec.VIPCIDRs = append(set.Spec.VIPCIDRs, "fd77::/112")
	set.Status.CIDRs = append(set.Status.CIDRs, "fd02::/48")
	here, gw := nodeObject("worker", "192.0.2.1", "10.2.1.0/24"), nodeObject("gateway", "192.0.2.2", "10.2.0.0/24")
	here.Status.Addresses = append(here.Status.Addresses, nodeObject("worker", "fd99::1", "").Status.Addresses...)
	both := imported("web", "244.0.0.7", web80)
	both.Spec.IPs = append(both.Spec.IPs, "fd77::7")
	for _, o := range []client.Object{here, gw, gatewayNode("gateway", "192.0.2.2", 3), remote("east", "10.1.0.0/16", "fd01::/48"),
		both, slice("web", "east", 8080, "10.1.0.5")} {
		f.apply(o)
	}
	f.apply(set)
	g := f.on("gateway", gatewayNet)
	f.pass(node.Marked)
	g.pass(node.Marked)
	if got := f.condition(); !strings.HasPrefix(got, "True Ready ") || !strings.Contains(got, "IPv6 is left out: ") {
		t.Errorf("condition %q", got)
	}
	f.quiet()
	g.quiet()
	if answer, err := pod.Ask("tcp", "244.0.0.7:80"); err != nil || answer != "away 10.2.1.5" {
		t.Errorf("pod to the clusterset IP: %q, %v", answer, err)
	}
	if !netns.KernelHasIPv6() {
		return // it never comes back
	}
	for _, n := range []*netns.Namespace{worker, gatewayNet} {
		n.SetIPv6(true, "all", "default", "lo")
	}
	worker.Address("eth0", "fd99::1/64")
	for _, x := range []*fixture{f, g} {
		x.agent.routes.touched.Store(true) // as the kernel's announcement of ::1 does
		x.pass(node.Ticked)
	}
	if got := f.condition(); !strings.HasPrefix(got, "True Ready ") || strings.Contains(got, "IPv6") {
		t.Errorf("with IPv6: condition %q", got)
	}
	if routes := worker.Run("ip", "-6", "route", "show", "table", "7474"); !strings.Contains(routes, "fd01::/48 via fe80::") {
		t.Errorf("with IPv6: routes to gateways %q", routes)
	}
	f.quiet()
	worker.SetIPv6(false, "all", "default", "lo")
	f.agent.routes.touched.Store(true)
	f.pass(node.Ticked)
	if got := f.condition(); !strings.HasPrefix(got, "True Ready ") || !strings.Contains(got, "IPv6 is left out: ") {
		t.Errorf("off again: condition %q", got)
	}
	f.quiet()
}
