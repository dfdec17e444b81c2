//go:build e2e

package plugin

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// beds select the namespaces that verify makes.
const beds = "clusterset.tombolo.dev/testbed=true"

// testVerify: on a healthy lab every test passes, and nothing is left. West has just joined, and its
// CoreDNS has not read its Corefile.
func testVerify(t *testing.T, s *site) {
	report := filepath.Join(t.TempDir(), "report.xml")
	began := time.Now()
	var results []struct{ Test, From, To, Outcome, Message string }
	if err := json.Unmarshal([]byte(s.tombolo("verify", "--contexts", "east,west", "--allow-failover", "--junit", report, "-o", "json")), &results); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("%d tests in %s", len(results), took.Round(time.Second))
	if took > 2*time.Minute { // half a minute where CoreDNS has read its Corefile
		t.Errorf("it took %s, more than two minutes", took)
	}
	passed := map[string]int{}
	for _, r := range results {
		if r.Outcome == "failed" || r.Outcome == "skipped" && r.Test != "a gateway drains" {
			t.Errorf("%s -> %s: %s: %s", r.From, r.To, r.Test, r.Message)
		}
		passed[r.From+r.To+" "+r.Test]++
	}
	for _, pair := range []string{"eastwest", "westeast", "easteast", "westwest"} {
		for _, test := range []string{"clusterset IP, TCP", "clusterset IP, UDP", "headless", "session affinity", "sources are kept, TCP", "sources are kept, UDP"} {
			if passed[pair+" "+test] != 1 {
				t.Errorf("%s of %s was run %d times", test, pair, passed[pair+" "+test])
			}
		}
	}
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var suites struct {
		Suite struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &suites); err != nil || suites.Suite.Tests != len(results) || suites.Suite.Failures != 0 {
		t.Errorf("%v: the report says %+v", err, suites)
	}
	s.noBeds(time.Second)
}

// testInterrupted: who ends a command that has made namespaces finds nothing left.
func testInterrupted(t *testing.T, s *site) {
	if testing.Short() {
		t.Skip("waits until namespaces are gone: half a minute for each command")
	}
	for _, command := range []string{"verify", "bench"} {
		t.Run(command, func(t *testing.T) {
			s := &site{Shell: s.Shell, t: t, program: s.program}
			cmd := exec.CommandContext(t.Context(), s.program, command, "--contexts", "east,west")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			_, err := shell.Eventually(t.Context(), 20*time.Second, func(ctx context.Context) (string, error) {
				return s.Kubectl(ctx, "west", "get", "namespaces", "-l", beds, "-o", "jsonpath={.items[0].metadata.name}")
			})
			if err != nil {
				t.Error(err)
			}
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Error("the exit code is 0 though it was interrupted")
			}
			s.noBeds(time.Second)
		})
	}
}

// testVerifyFails: a cluster whose servers nobody reaches fails, with another exit code. Its gateway
// drops what comes through the tunnel.
func testVerifyFails(t *testing.T, s *site) {
	if testing.Short() {
		t.Skip("waits for all tests of a broken way to give up: a minute")
	}
	gateway := strings.Split(s.gateways(), ",")[0]
	rule := []string{"nft", "add table inet verifytest; add chain inet verifytest in { type filter hook prerouting priority -500; }; " +
		"add rule inet verifytest in meta l4proto { tcp, udp } iifname \"tombolo0\" drop"}
	s.onNode(gateway, rule...)
	defer s.onNode(gateway, "nft", "delete table inet verifytest")
	out, err := shell.Run(t.Context(), "", s.program, "verify", "--contexts", "east,west", "--patience", "8s", "-o", "json")
	if err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("it ended with %v", err)
	}
	var results []struct{ Test, From, To, Outcome, Message string }
	if err := json.Unmarshal([]byte(out), &results); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, r := range results {
		if r.From == r.To && r.Outcome != "passed" || r.From != r.To && strings.HasPrefix(r.Test, "clusterset IP") && r.Outcome != "failed" {
			t.Errorf("%s -> %s: %s %s: %s", r.From, r.To, r.Test, r.Outcome, r.Message)
		}
	}
	s.noBeds(time.Second)
}

// noBeds fails the test if a namespace of verify is left.
func (s *site) noBeds(within time.Duration) {
	s.t.Helper()
	for _, cluster := range []string{"east", "west"} {
		_, err := shell.Eventually(s.t.Context(), within, func(ctx context.Context) (string, error) {
			return s.Kubectl(ctx, cluster, "wait", "--for=delete", "--timeout=1s", "namespaces", "-l", beds)
		})
		if err != nil {
			s.t.Error(err)
		}
	}
}
