//go:build kernel

package restarts

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/netns"
	"github.com/tombolo-net/tombolo/test/lifecycle/report"
)

// loadProgram sends requests and packets and holds connections (test/lifecycle/load).
const loadProgram = "../../../bin/load"

// load is one client of Services, a process.
type load struct {
	t      *testing.T
	name   string
	client *report.Client
}

// startLoad starts a client in a namespace, until the test ends.
func startLoad(t *testing.T, name string, n *netns.Namespace, args ...string) *load {
	t.Helper()
	l := &load{t: t, name: name}
	n.Do(func() {
		var err error
		if l.client, err = report.Start(exec.Command(loadProgram, args...)); err != nil {
			t.Fatalf("%v (make build makes it)", err)
		}
	})
	t.Cleanup(l.client.Kill)
	return l
}

// startServer answers in a namespace at those addresses, until the test ends.
func startServer(t *testing.T, n *netns.Namespace, addresses ...string) {
	t.Helper()
	cmd := exec.Command(loadProgram, append([]string{"serve"}, addresses...)...)
	cmd.Stderr = os.Stderr
	n.Do(func() {
		if err := cmd.Start(); err != nil {
			t.Fatalf("%v (make build makes it)", err)
		}
	})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
}

// stop ends it.
func (l *load) stop() {
	l.t.Helper()
	if err := l.client.End(); err != nil {
		l.t.Errorf("ending the load %s: %v", l.name, err)
	}
}

// report is what became of all that was begun before.
func (l *load) report() report.Report {
	l.t.Helper()
	r, err := l.client.Report()
	if err != nil {
		l.t.Fatalf("clients %q: %v", l.name, err)
	}
	return r
}

// loads of a site. Those to clusterset IPs cannot go on while nothing serves them; the others must, always.
type loads struct {
	site           *site
	served, always []*load
	// failing is true while nothing serves clusterset IPs.
	failing bool
	// flooded is true while the API server sends so much to agents, some of which are killed, that segments of TCP are divided
	// on the way, and fewer are sent than arrive or the reverse. Requests, connections and packets count as ever.
	flooded bool
}

// startOthers starts those clients that must not notice that there is a dataplane, or none.
func (s *site) startOthers() *loads {
	l := &loads{site: s}
	add := func(name string, n *netns.Namespace, args ...string) {
		l.always = append(l.always, startLoad(s.t, name, n, args...))
	}
	add("pod to pod", s.pod, "--requests", fmt.Sprintf("%s:%d", peerIP, webPort), "--rate", "50",
		"--connections", fmt.Sprintf("%s:%d", peerIP, echoPort), "--count", "1", "--packets", fmt.Sprintf("%s:%d", peerIP, echoPort))
	add("pod to kube-proxy's Service", s.pod, "--requests", proxyIP+":80", "--rate", "5")
	add("pod to another's virtual service", s.pod, "--requests", foreignIP+":80", "--rate", "5")
	return l
}

// startServed starts the clients of clusterset IPs, with connections that live from now on.
func (l *loads) startServed() {
	l.failing = false
	echo := echoVIP + ":7"
	l.served = []*load{
		startLoad(l.site.t, "pod", l.site.pod, "--requests", webVIP+":80", "--rate", "200", "--connections", echo, "--count", "4", "--packets", echo),
		startLoad(l.site.t, "host network", l.site.worker, "--requests", webVIP+":80", "--rate", "10", "--connections", echo, "--count", "2"),
		startLoad(l.site.t, "host network of the gateway", l.site.gateway, "--requests", webVIP+":80", "--rate", "5", "--connections", echo, "--count", "1"),
	}
}

func (l *loads) stopServed() {
	for _, client := range l.served {
		client.stop()
	}
	l.served = nil
}

func (l *loads) all() []*load { return append(append([]*load(nil), l.served...), l.always...) }

// afterwards is how many requests of the first client follow what was done, so that its consequences show.
const afterwards = 50

// during fails the test if a request fails, a connection breaks or a packet is lost while
// something is done and for a while after.
func (l *loads) during(what string, do func()) {
	l.site.t.Helper()
	l.watch(what, l.all(), do)
}

func (l *loads) watch(what string, clients []*load, do func()) {
	t := l.site.t
	t.Helper()
	begin := time.Now()
	before := make([]report.Report, len(clients))
	for i, client := range clients {
		before[i] = client.report()
	}
	var lost int64
	counted := !l.failing && !l.flooded
	if counted {
		lost = l.lost()
	}
	do()
	done := clients[0].report().Requests.Sent
	eventually(t, what, func() error {
		if n := clients[0].report().Requests.Sent - done; n < afterwards {
			return fmt.Errorf("%d requests since", n)
		}
		return nil
	})
	for i, client := range clients {
		after := client.report()
		if err := after.Fault(before[i]); err != nil {
			t.Errorf("%s, clients %q: %v", what, client.name, err)
		}
		if i == 0 {
			t.Logf("%s: %s, %s, the slowest request since the start %s", what, time.Since(begin), after.Progress(before[i]), after.Requests.Slowest)
		}
	}
	if counted {
		eventually(t, what+": segments of TCP", func() error {
			if n := l.lost() - lost; n != 0 {
				return fmt.Errorf("%d were lost", n)
			}
			return nil
		})
	}
}

// lost is how many segments of TCP were sent by any host and received by none. Those that were sent again tell less: on a
// busy machine timers go off before what has arrived is looked at.
func (l *loads) lost() int64 {
	for _, client := range l.all() {
		defer client.pause()()
	}
	for before := l.missing(); ; {
		time.Sleep(100 * time.Millisecond)
		now := l.missing()
		if now == before {
			return now
		}
		before = now // some were on their way
	}
}

// missing is how many segments are lost or on their way.
func (l *loads) missing() (segments int64) {
	servers := []*netns.Namespace{l.site.peer, l.site.away}
	hosts := append([]*netns.Namespace{l.site.pod, l.site.worker, l.site.gateway}, servers...)
	for _, n := range hosts { // first, so that what comes in between counts as lost, and not the reverse
		segments -= counter(l.site.t, n, "snmp", "Tcp:", "InSegs")
	}
	for _, n := range hosts {
		segments += counter(l.site.t, n, "snmp", "Tcp:", "OutSegs") + counter(l.site.t, n, "snmp", "Tcp:", "RetransSegs")
	}
	for _, n := range servers { // a SYN-ACK that is sent again is in both (tcp_make_synack, tcp_rtx_synack)
		segments -= counter(l.site.t, n, "netstat", "TcpExt:", "TCPSynRetrans")
	}
	return segments
}

// pause stops the client until the returned function is called.
func (l *load) pause() (resume func()) {
	l.t.Helper()
	signal := func(s syscall.Signal) {
		if err := l.client.Signal(s); err != nil {
			l.t.Fatalf("the load %s: %v", l.name, err)
		}
	}
	signal(syscall.SIGSTOP)
	return func() { signal(syscall.SIGCONT) }
}

// counter of a namespace's TCP, from a file of /proc/net where a line of names with that head has a line of numbers after it.
func counter(t *testing.T, n *netns.Namespace, file, head, name string) (value int64) {
	t.Helper()
	n.Do(func() {
		text, err := os.ReadFile("/proc/thread-self/net/" + file)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if fields[0] != head {
				continue
			}
			if names == nil {
				names = fields
				continue
			}
			for i := range names {
				if names[i] == name {
					if _, err := fmt.Sscan(fields[i], &value); err != nil {
						t.Fatal(err)
					}
					return
				}
			}
		}
		t.Fatalf("no counter %s in:\n%s", name, text)
	})
	return value
}
