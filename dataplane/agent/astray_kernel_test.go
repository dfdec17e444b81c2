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
					address := a.to(2, echo.number)
					t.Run(a.name+" to "+name, func(t *testing.T) {
						outOfWindow(t, client, address, s.away, fmt.Sprint("sport ", echo.east))
					})
					t.Run(a.name+" from "+name, func(t *testing.T) {
						outOfWindow(t, client, address, client, fmt.Sprint("dport ", echo.number))
					})
				}
			}
		})
	}
}

// outOfWindow gives segments with data other sequence numbers, where they are sent, as often as they are
// sent until that is seen. Then they are sent again as they are. One number or another is out of the
// window.
func outOfWindow(t *testing.T, client *netns.Namespace, address string, sender *netns.Namespace, match string) {
	t.Helper()
	for _, number := range []uint32{1, 1 << 30, 2 << 30, 3 << 30} {
		conn := dialFrom(t, client, address)
		defer conn.Close()
		if err := conn.works(); err != nil {
			t.Fatal(err)
		}
		sender.Run("nft", "add table inet astray; add chain inet astray out { type filter hook output priority -300; }; "+
			fmt.Sprintf("add rule inet astray out tcp %s tcp flags & (psh | rst) == psh counter tcp sequence set %d", match, number))
		if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("lost!")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "no segment changed", func() string {
			return fmt.Sprint(strings.Contains(sender.Run("nft", "list", "table", "inet", "astray"), "packets 0 "))
		}, "false")
		sender.Run("nft", "delete", "table", "inet", "astray")
		buffer := make([]byte, 16)
		if n, err := conn.Read(buffer); err != nil || string(buffer[:n]) != "lost!" {
			t.Errorf("after a segment with number %d the answer is %q: %v", number, buffer[:n], err)
		}
	}
}
