//go:build kernel

package agent

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// TestSegmentOutOfWindow: connection tracking does not count a segment beyond its window to the
// connection, and leaves its addresses as they are. Who gets it knows no such connection, and would
// reset it. The connection goes on all the same, from every client and beside no kube-proxy.
func TestSegmentOutOfWindow(t *testing.T) {
	echo := port{"echo", corev1.ProtocolTCP, 81, 0, 8081}
	for _, backend := range []v1alpha1.DataplaneBackend{v1alpha1.BackendIPVS, v1alpha1.BackendNFTables} {
		t.Run(string(backend), func(t *testing.T) {
			s, f := lateRules(t, backend)
			defer f.leave()
			echoOn(t, s.away, echo.east)
			f.serve("echo", 2, servicePorts(echo)...)
			for _, a := range bothFamilies {
				f.endpoints("echo", "east", a, endpointPorts("east", echo), ready(a.away[0]), ready(a.away[1]))
			}
			f.pass(node.Marked)
			for _, a := range bothFamilies {
				for name, client := range map[string]*netns.Namespace{"pod": s.pod, "node": s.worker} {
					t.Run(a.name+" "+name, func(t *testing.T) {
						for _, number := range []uint32{1, 1 << 30, 2 << 30, 3 << 30} {
							outOfWindow(t, client, a.to(2, echo.number), s.away, echo.east, number)
						}
					})
				}
			}
		})
	}
}

// outOfWindow gives the segment that answers another sequence number, as often as it is sent until that
// is seen. Then it is sent again as it is.
func outOfWindow(t *testing.T, client *netns.Namespace, address string, server *netns.Namespace, port int, number uint32) {
	t.Helper()
	conn := dialFrom(t, client, address)
	defer conn.Close()
	if err := conn.works(); err != nil {
		t.Fatal(err)
	}
	server.Run("nft", "add table inet astray; add chain inet astray out { type filter hook output priority 0; }; "+
		fmt.Sprintf("add rule inet astray out tcp sport %d tcp flags & (psh | rst) == psh counter tcp sequence set %d", port, number))
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("lost!")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no segment changed", func() string {
		return fmt.Sprint(strings.Contains(server.Run("nft", "list", "table", "inet", "astray"), "packets 0 "))
	}, "false")
	server.Run("nft", "delete", "table", "inet", "astray")
	buffer := make([]byte, 16)
	if n, err := conn.Read(buffer); err != nil || string(buffer[:n]) != "lost!" {
		t.Errorf("after a segment with number %d the answer is %q: %v", number, buffer[:n], err)
	}
}
