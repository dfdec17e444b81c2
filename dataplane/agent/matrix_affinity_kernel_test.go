//go:build kernel

package agent

import (
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// forgets: a client that comes back before the timeout of its affinity gets the same endpoint, and
// one that comes back after it is as any other. It does so in the background; the returned function
// waits for the end.
//
// IPVS forgets a client only when its last connection is forgotten. So those are UDP here, and end
// first.
func (f *siteFixture) forgets() (wait func()) {
	f.t.Helper()
	timeout := time.Second
	if f.backend == v1alpha1.BackendIPVS {
		f.site.worker.Run("ipvsadm", "--set", "0", "0", "1")
		timeout = 2 * time.Second
	}
	seconds := int32(timeout / time.Second)
	brief := f.serve("brief", 6, servicePorts(dns53)...)
	brief.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	brief.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}
	f.apply(brief)
	for _, a := range f.families {
		f.endpoints("brief", "east", a, endpointPorts("east", dns53), ready(a.away[0]), ready(a.away[1]), ready(a.away[2]))
	}
	f.pass(node.Marked)
	programmed := f.programmed()
	var clients sync.WaitGroup
	for _, a := range f.families {
		to := a.to(6, dns53.number)
		if got := programmed[key("udp", to)].affinity; got != int(seconds) {
			f.t.Errorf("%s: affinity for %d seconds, want %d", a.name, got, seconds)
		}
		for _, tt := range []struct {
			who  string
			from *netns.Namespace
		}{{"a pod", f.site.pod}, {"the node", f.site.worker}} {
			clients.Go(func() {
				if why := comesBack(tt.from, to, timeout); why != "" {
					f.t.Errorf("%s: %s: %s", a.name, tt.who, why)
				}
			})
		}
	}
	return func() {
		clients.Wait()
		if f.backend == v1alpha1.BackendIPVS {
			f.site.worker.Run("ipvsadm", "--set", "900", "120", "300") // as it was
		}
	}
}

// comesBack asks again before and after the timeout, until it has got another endpoint after it. It
// says what is wrong.
//
// Only rounds in which the machine lets it ask before the timeout count: the others show nothing.
func comesBack(from *netns.Namespace, to string, timeout time.Duration) string {
	const rounds = 15 // of three endpoints by chance always the same one: once in 14 million
	kept := 0
	for deadline := time.Now().Add(startLimit); kept < rounds && time.Now().Before(deadline); {
		begin := time.Now()
		first, _, _ := strings.Cut(said(from, "udp", to), " ")
		time.Sleep(timeout / 2)
		again, _, _ := strings.Cut(said(from, "udp", to), " ")
		if time.Since(begin) < timeout {
			if kept++; again != first {
				return fmt.Sprintf("it got %s, and before the timeout of %s %s", first, timeout, again)
			}
		}
		time.Sleep(timeout + timeout/10)
		if after, _, _ := strings.Cut(said(from, "udp", to), " "); after != again && kept > 0 {
			return ""
		}
	}
	return fmt.Sprintf("after the timeout of %s it always gets the same endpoint (%d times before it)", timeout, kept)
}
