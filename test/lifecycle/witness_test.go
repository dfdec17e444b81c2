//go:build e2e

package lifecycle

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// witnesses are commands on the client's node. What they see says who refused a packet, and which rules
// the node had then.
var witnesses = map[string][]string{
	"errors": {"tcpdump", "-lnni", "any", "icmp[0] == 3 or icmp6[0] == 1"},
	"flows":  {"conntrack", "-E", "-p", "udp", "--dport", "7"},
	"rules":  {"nft", "monitor"},
	"routes": {"ip", "monitor", "route", "neigh", "rule"},
}

// lastLines is how many lines of each are told.
const lastLines = 200

// witness watches a node until the test ends. The log of a test that fails has what was seen, and what
// the dataplanes of both clusters said.
func witness(t *testing.T, sh shell.Shell, node string) {
	t.Helper()
	var mu sync.Mutex
	seen := map[string][]string{} // guarded by mu
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var reading sync.WaitGroup
	for name, argv := range witnesses {
		cmd := sh.NodeCommand(ctx, node, append([]string{"timeout", "30m"}, argv...)...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		reading.Go(func() {
			defer cmd.Wait() // killed
			for lines := bufio.NewScanner(out); lines.Scan(); {
				mu.Lock()
				all := append(seen[name], time.Now().Format("15:04:05.000 ")+lines.Text())
				seen[name] = slices.Delete(all, 0, max(0, len(all)-lastLines))
				mu.Unlock()
			}
		})
	}
	t.Cleanup(func() {
		stop()
		reading.Wait()
		if !t.Failed() {
			return
		}
		for name, lines := range seen {
			t.Logf("%s on node %s:\n%s", name, node, strings.Join(lines, "\n"))
		}
		for _, cluster := range []string{exporter, importer} {
			said, err := sh.Kubectl(context.WithoutCancel(t.Context()), cluster, "--namespace", "tombolo-system", "logs", "--timestamps", "--prefix",
				fmt.Sprint("--tail=", lastLines), "--selector=app.kubernetes.io/name=tombolo-dataplane")
			t.Logf("the dataplanes of %s: %v\n%s", cluster, err, said)
		}
	})
}
