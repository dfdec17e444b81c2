//go:build kernel

package restarts

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// eachBackend runs a test with each backend, on a site of its own: what fails in one leaves nothing
// behind for another. The agents have had their first start, clients of clusterset IPs run, and
// before is what the nodes were like without agents.
func eachBackend(t *testing.T, test func(t *testing.T, s *site, l *loads, before [2][]string)) {
	for _, backend := range []v1alpha1.DataplaneBackend{v1alpha1.BackendIPVS, v1alpha1.BackendNFTables} {
		t.Run(string(backend), func(t *testing.T) {
			s := newSite(t, backend)
			l := s.startOthers()
			var before [2][]string
			for i, a := range s.agents {
				before[i] = snapshot(t, a.node)
			}
			l.watch("the first start", l.always, func() {
				s.all(func(a *agent) { a.run("--init") })
				s.start()
			})
			l.startServed()
			test(t, s, l, before)
		})
	}
}

// TestRestart: a new process finds all as it should be, and writes nothing.
func TestRestart(t *testing.T) {
	eachBackend(t, func(t *testing.T, s *site, l *loads, _ [2][]string) {
		programmed := s.worker.Run("ipvsadm", "-Sn")
		served := connections(s)
		for _, tt := range []struct {
			what   string
			signal syscall.Signal
		}{{"told to end and started", syscall.SIGTERM}, {"killed and started", syscall.SIGKILL}} {
			l.during(tt.what, func() {
				unchanged(t, s.worker, "an agent that was "+tt.what, func() {
					s.workers().restart(tt.signal)
				})
			})
			if n := s.workers().writes(); n != 0 {
				t.Errorf("%s, the agent says that it wrote %v objects", tt.what, n)
			}
		}
		if diff := cmp.Diff(programmed, s.worker.Run("ipvsadm", "-Sn")); diff != "" {
			t.Errorf("after restarts IPVS has (-before +after)\n%s", diff)
		}
		if now := connections(s); now < served {
			t.Errorf("after restarts IPVS counts %d connections of %s, before it was %d: it was made anew", now, webVIP, served)
		}
	})
}

// connections is how many connections IPVS has counted for webVIP since it made the virtual
// service; zero without one.
func connections(s *site) (n int) {
	for line := range strings.Lines(s.worker.Run("ipvsadm", "-Ln", "--stats", "--exact")) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == webVIP+":80" {
			if _, err := fmt.Sscan(f[2], &n); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	return n
}

// TestUpgrade: another build takes over, first with all as it was, then from one that programmed
// things in another way.
func TestUpgrade(t *testing.T) {
	eachBackend(t, func(t *testing.T, s *site, l *loads, _ [2][]string) {
		if old, next := version(t, programs[0]), version(t, programs[1]); old == next {
			t.Fatalf("both builds are %s", old)
		}
		l.during("upgraded to another build", func() {
			unchanged(t, s.worker, "another build", func() {
				s.kill(syscall.SIGTERM)
				s.all(func(a *agent) {
					a.program = programs[1]
					a.run("--init")
				})
				s.start()
			})
		})
		want := snapshot(t, s.worker)
		l.during("upgraded from a build that programmed otherwise", func() {
			s.workers().kill(syscall.SIGTERM)
			age(s, "tombolo")
			if s.backend == v1alpha1.BackendIPVS {
				s.worker.Run("ipvsadm", "-E", "-t", webVIP+":80", "-s", "rr")
				s.worker.Run("ipvsadm", "-e", "-t", webVIP+":80", "-r", "10.1.0.11:8080", "-m", "-w", "3")
			} else {
				age(s, "tombolo-services")
			}
			s.workers().start()
			s.workers().ready()
		})
		compare(t, "after the upgrade", want, snapshot(t, s.worker))
	})
}

// age makes one of our tables look like that of another build: its chains have a rule more.
func age(s *site, table string) {
	s.t.Helper()
	chains := 0
	for line := range strings.Lines(s.worker.Run("nft", "list", "table", "inet", table)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "chain" {
			s.worker.Run("nft", fmt.Sprintf("add rule inet %s %s counter comment \"older\"", table, fields[1]))
			chains++
		}
	}
	if chains == 0 {
		s.t.Fatalf("table %s has no chains", table)
	}
}

// compare is without handles, which tell who made a table, and without what comes and goes by
// itself.
func compare(t *testing.T, what string, want, have []string) {
	t.Helper()
	bare := func(lines []string) []string {
		var all []string
		for _, line := range lines {
			line, _, _ = strings.Cut(line, " # handle ")
			all = append(all, line)
		}
		slices.Sort(all)
		return all
	}
	if diff := cmp.Diff(bare(want), bare(have)); diff != "" {
		t.Errorf("%s (-want +have)\n%s", what, diff)
	}
}

// TestEndpointGoneMeanwhile: a flow of packets moves on from an endpoint that goes while no agent
// runs, here between a build whose table has other maps and this one.
func TestEndpointGoneMeanwhile(t *testing.T) {
	eachBackend(t, func(t *testing.T, s *site, l *loads, _ [2][]string) {
		client := startLoad(t, "one that moves", s.pod, "--packets", movingVIP+":7")
		defer client.stop()
		by := func(want string) {
			t.Helper()
			eventually(t, "packets to "+movingVIP, func() error {
				if got := client.report().Packets.By; got != want {
					return fmt.Errorf("answered by %q, want %q", got, want)
				}
				return nil
			})
		}
		by("10.1.0.15:7007")
		l.during("an endpoint went while no agent ran", func() {
			s.workers().kill(syscall.SIGKILL)
			s.put(slice("moving", echoPort, 16))
			if s.backend == v1alpha1.BackendNFTables {
				s.worker.Run("nft", "add map inet tombolo-services older { type ipv4_addr : ipv4_addr; }")
			}
			s.workers().start()
			s.workers().ready()
		})
		by("10.1.0.16:7007")
	})
}

// many is how many Services are added at once, crowd how many endpoints each has.
const many, crowd = 1500, 8

// TestKilledWhileProgramming: an agent is killed when it has programmed a part of many Services;
// the next one does the rest.
func TestKilledWhileProgramming(t *testing.T) {
	eachBackend(t, func(t *testing.T, s *site, l *loads, _ [2][]string) {
		objects := make([]runtime.Object, 0, 2*many)
		hosts := make([]int, crowd)
		for i := range many {
			for j := range hosts {
				hosts[j] = 1024 + i*crowd + j
			}
			name := fmt.Sprint("many-", i)
			objects = append(objects, imported(name, manyVIP(i), 80, corev1.ProtocolTCP), slice(name, webPort, hosts...))
		}
		l.during("killed while it programmed many Services", func() {
			state := programmed(t, s)
			s.put(objects...)
			// The first Services come in ones and twos. A transaction of nftables has room for half
			// of the others, so that the agent is writing the next one after that; IPVS has none,
			// and is filled at once. A change may also be of something else.
			for changes := map[v1alpha1.DataplaneBackend]int{v1alpha1.BackendIPVS: 1, v1alpha1.BackendNFTables: 2}[s.backend]; changes > 0 || served(s) == 0; changes-- {
				eventually(t, "programming", func() error {
					now := programmed(t, s)
					if now == state {
						return fmt.Errorf("not begun")
					}
					state = now
					return nil
				})
			}
			s.workers().kill(syscall.SIGKILL)
			if n := served(s); n == 0 || n == many {
				t.Errorf("%d of %d Services were programmed when the agent was killed: want a part of them", n, many)
			} else {
				t.Logf("%d of %d Services were programmed when the agent was killed", n, many)
			}
			s.workers().start()
			s.all((*agent).ready)
		})
		if n := served(s); n != many {
			t.Errorf("%d of %d Services are programmed", n, many)
		}
	})
}

// TestCleanup: it leaves the nodes as they were, and others' traffic alone, and all is served again
// after a new start.
func TestCleanup(t *testing.T) {
	eachBackend(t, func(t *testing.T, s *site, l *loads, before [2][]string) {
		l.failing = true
		l.watch("cleaned up", l.always, func() {
			s.kill(syscall.SIGTERM)
			s.all(func(a *agent) { a.run("--cleanup") })
			l.stopServed()
		})
		for i, a := range s.agents {
			compareExactly(t, a.name, before[i], snapshot(t, a.node))
			if left := translated(a.node); len(left) > 0 {
				t.Errorf("%s still leads %d flows to endpoints, such as %s", a.name, len(left), left[0])
			}
			a.run("--cleanup") // there is nothing to do
		}
		l.watch("started again", l.always, s.start)
		l.startServed()
		l.during("served again", func() {})
	})
}

// keptSettings stay as the agent has set them (docs/dataplane.md).
var keptSettings = []string{"net/ipv4/vs/conntrack", "net/ipv4/vs/expire_nodest_conn", "net/ipv4/vs/expire_quiescent_template"}

// compareExactly compares handles, too: what was taken away and made again is not the same.
func compareExactly(t *testing.T, node string, before, after []string) {
	t.Helper()
	without := func(lines []string) []string {
		return slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
			return slices.ContainsFunc(keptSettings, func(name string) bool { return strings.HasPrefix(line, "sysctl: "+name+" ") })
		})
	}
	if diff := cmp.Diff(without(before), without(after)); diff != "" {
		t.Errorf("%s after the clean-up (-before +after)\n%s", node, diff)
	}
	for _, name := range keptSettings {
		if !slices.Contains(after, "sysctl: "+name+" = 1") {
			t.Errorf("%s: %s is not 1", node, name)
		}
	}
}
