//go:build kernel

package restarts

import (
	"fmt"
	"os"
	"os/exec"
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

// loads are the clients of a site. Those of clusterset IPs cannot go on while nothing serves these;
// the others must, always.
type loads struct {
	site           *site
	served, always []*load
	// failing is true while nothing serves clusterset IPs.
	failing bool
	// unanswered is what the site's count is once no segment is on its way: what was lost while
	// failing.
	unanswered count
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
	if l.failing {
		l.failing = false
		l.site.forgetOld()
		l.unanswered = l.settled()
	}
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

// afterwards is how many requests of the first client follow what was done, so that its
// consequences show.
const afterwards = 50

// during fails the test if a request fails, a connection breaks, or a packet or a segment of TCP is
// lost while something is done and for a while after.
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
	l.complete("before " + what)
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
	l.complete(what)
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
