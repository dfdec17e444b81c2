//go:build kernel

package agent

import (
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/kubeproxy"
)

// TestOneFamilyExcluded: beside a kube-proxy in ipvs mode that excludes the clusterset IPs of one family,
// IPVS by name serves this family, refuses the other, and says so. It serves both as soon as both are
// excluded.
func TestOneFamilyExcluded(t *testing.T) {
	s := newSite(t)
	t.Cleanup(s.end)
	s.listen()
	s.runProxy(t, &kubeproxy.Config{Mode: kubeproxy.IPVS, ExcludeCIDRs: []string{string(ipv4.vips)}})
	f := s.fixture(v1alpha1.BackendIPVS, bothFamilies)
	defer f.leave()
	f.wantsAll()
	const want = "False KubeProxyConflict this node's kube-proxy runs in ipvs mode and would delete tombolo's virtual services inside fdff:1::/112; " +
		"the others are served: add fdff:1::/112 to ipvs.excludeCIDRs"
	if got := f.condition(); !strings.HasPrefix(got, want) {
		t.Errorf("condition %q, want %q", got, want)
	}
	for _, after := range []string{"at first", "after a restart of kube-proxy"} {
		f.reaches(s.pod, "a pod", "tcp", ipv4.to(1, http80.number), ipv4.pod, at(ipv4.away[0], http80.east))
		for _, p := range []port{http80, likeTCP} {
			if got := said(s.pod, "tcp", ipv6.to(1, p.number)); got != "refused" {
				t.Errorf("%s, IPv6, port %d: %q, want a refusal", after, p.number, got)
			}
		}
		f.restartProxy()
		f.agent.proxy.Ask(t.Context())
		f.quiet() // nothing to mend
	}
	for _, line := range s.virtualServices() {
		if strings.Contains(line, ipv6.vip) {
			t.Errorf("there is a virtual service of IPv6: %s", line)
		}
	}
	s.runProxy(t, &kubeproxy.Config{Mode: kubeproxy.IPVS, ExcludeCIDRs: excluded})
	f.agent.proxy.Ask(t.Context())
	f.pass(node.Marked)
	for _, a := range bothFamilies {
		f.reaches(s.pod, "a pod", "tcp", a.to(1, http80.number), a.pod, at(a.away[0], http80.east))
	}
	if got := f.condition(); !strings.HasPrefix(got, "True Ready ") {
		t.Errorf("both excluded: condition %q", got)
	}
}
