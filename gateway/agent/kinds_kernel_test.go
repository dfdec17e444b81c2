//go:build kernel

package agent

import (
	"fmt"
	"testing"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// kinds are who serves the WireGuard devices of the clusters in a test. The zero value leaves it to
// the agents, and the lab's kernel has WireGuard.
type kinds struct{ east, west v1alpha1.WireGuardMode }

var (
	kernelKinds    = kinds{v1alpha1.WireGuardKernel, v1alpha1.WireGuardKernel}
	userspaceKinds = kinds{v1alpha1.WireGuardUserspace, v1alpha1.WireGuardUserspace}
	mixedKinds     = kinds{v1alpha1.WireGuardUserspace, v1alpha1.WireGuardKernel}
)

// with runs the test with each of these kinds.
func with(t *testing.T, test func(*testing.T, kinds), all ...kinds) {
	t.Helper()
	for _, k := range all {
		t.Run(fmt.Sprintf("%s to %s", k.east, k.west), func(t *testing.T) { test(t, k) })
	}
}

// kindOf is what ip says of the gateway's device: wireguard or tun.
func (g *testGateway) kindOf(t *testing.T, device string) string {
	t.Helper()
	var links []struct {
		Linkinfo struct {
			InfoKind string `json:"info_kind"`
		}
	}
	g.ipJSON(t, &links, "-d", "link", "show", device)
	if len(links) != 1 {
		t.Fatalf("%d links are named %s", len(links), device)
	}
	return links[0].Linkinfo.InfoKind
}
