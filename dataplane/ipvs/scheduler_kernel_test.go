//go:build kernel

package ipvs

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// clients are how many addresses the client has: enough that every endpoint is somebody's.
const clients = 40

// answers returns which server each of the client's addresses gets from the clusterset IP.
func answers(t *testing.T, client *netns.Namespace) []string {
	t.Helper()
	var all []string
	client.Do(func() {
		for i := range clients {
			dialer := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(10, 2, 0, byte(10+i))}}
			conn, err := dialer.Dial("tcp", "244.0.0.1:80")
			if err != nil {
				t.Errorf("client %d: %v", i, err)
				all = append(all, "")
				continue
			}
			answer, _ := io.ReadAll(conn)
			conn.Close()
			var name string
			fmt.Sscan(string(answer), &name)
			all = append(all, name)
		}
	})
	return all
}

func count(all []string) map[string]int {
	n := map[string]int{}
	for _, a := range all {
		n[a]++
	}
	return n
}

// TestSchedulers: with each scheduler that an API value leads to, weights count, and an endpoint
// that drains gets nobody, and leaves nobody without an answer. With mh, a client stays where it is
// as long as that is there.
func TestSchedulers(t *testing.T) {
	node, client := netns.New(t), netns.New(t)
	node.Join("pods", "10.2.0.1/24", client, "eth0", "10.2.0.5/24")
	client.Route("0.0.0.0/0", "10.2.0.1")
	for i := range clients {
		client.Address("eth0", fmt.Sprintf("10.2.0.%d/24", 10+i))
	}
	for i, name := range []string{"one", "two", "three"} {
		backend := netns.New(t)
		node.Join("pod"+name, fmt.Sprintf("10.1.%d.1/24", i+1), backend, "eth0", fmt.Sprintf("10.1.%d.5/24", i+1))
		backend.Route("0.0.0.0/0", fmt.Sprintf("10.1.%d.1", i+1))
		backend.Serve(name, 8080)
	}
	node.Do(func() {
		anyIP(t, "244.0.0.0/16", "10.2.0.1")
		var sysctls Sysctls
		defer sysctls.Close()
		sysctls.Set()
	})
	weighted := func(scheduler string, weights ...uint32) {
		s := service("10.1.1.5:8080", "10.1.2.5:8080", "10.1.3.5:8080")
		s.Scheduler = scheduler
		for i, w := range weights {
			s.Destinations[i].Weight = w
		}
		sync(t, node, scopeOf(map[Key]Service{key("244.0.0.1:80", serviceport.TCP): s}))
	}
	for _, scheduler := range []string{"wrr", "wlc", "mh"} {
		weighted(scheduler, 1, 1, 1)
		before := answers(t, client)
		if n := count(before); n["one"] == 0 || n["two"] == 0 || n["three"] == 0 {
			t.Errorf("%s: %v", scheduler, n)
		}
		if scheduler == "mh" {
			for i, again := range answers(t, client) {
				if again != before[i] {
					t.Errorf("mh: client %d went to %s, then to %s", i, before[i], again)
				}
			}
		}
		weighted(scheduler, 1, 0, 1)
		after := answers(t, client)
		if n := count(after); n["one"] == 0 || n["two"] != 0 || n["three"] == 0 || n["one"]+n["three"] != clients {
			t.Errorf("%s: while two drains: %v", scheduler, n)
		}
		moved := 0
		for i := range after {
			if before[i] != "two" && after[i] != before[i] {
				moved++
			}
		}
		if scheduler == "mh" && moved > clients/10 {
			t.Errorf("mh: %d of %d clients moved that had no reason to", moved, clients)
		}
	}
}
