//go:build kernel

package restarts

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/tombolo-net/tombolo/test/harness/netns"
	"github.com/tombolo-net/tombolo/test/harness/scrape"
)

// programs are two builds of tombolo, the earlier first (`make test-kernel` makes both).
var programs = [...]string{"../../../bin/tombolo", "../../../bin/next/tombolo"}

const pagesAddress = "127.0.0.1:7475"

// limit of everything that is waited for.
const limit = 3 * time.Minute

// agent is `tombolo dataplane`, as a process on a node.
type agent struct {
	t       *testing.T
	name    string
	node    *netns.Namespace
	program string
	config  string
	cmd     *exec.Cmd
	log     *os.File
}

// kubeconfig leads to the API on the node's loopback address.
func (s *site) kubeconfig(n *netns.Namespace) string {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "kubeconfig")
	server, err := s.api.Listen(n.Do, file)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { server.Close() })
	return file
}

// run runs the program with those arguments to its end.
func (a *agent) run(args ...string) {
	a.t.Helper()
	a.node.Run(a.program, append([]string{"dataplane"}, args...)...)
}

// start returns before the agent is ready.
func (a *agent) start() {
	a.t.Helper()
	if a.log == nil {
		var err error
		if a.log, err = os.Create(filepath.Join(a.t.TempDir(), "log")); err != nil {
			a.t.Fatal(err)
		}
		a.t.Cleanup(func() {
			a.kill(syscall.SIGKILL)
			if text, err := os.ReadFile(a.log.Name()); a.t.Failed() {
				a.t.Logf("log of the agent of %s: %s %v", a.name, text, err)
			}
		})
	}
	a.cmd = exec.Command(a.program, "dataplane", "--node-name", a.name, "--listen-address", pagesAddress)
	a.cmd.Env = append(os.Environ(), "KUBECONFIG="+a.config)
	a.cmd.Stdout, a.cmd.Stderr = a.log, a.log
	a.node.Do(func() {
		if err := a.cmd.Start(); err != nil {
			a.t.Fatal(err)
		}
	})
}

// ready waits until the agent says that the kernel is in step.
func (a *agent) ready() {
	a.t.Helper()
	eventually(a.t, "the agent of "+a.name, func() error {
		_, err := a.page("/readyz")
		return err
	})
}

// page is one that the agent serves.
func (a *agent) page(path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(a.t.Context(), limit)
	defer cancel()
	return scrape.Get(ctx, scrape.Client(a.node.Do), "http://"+pagesAddress+path)
}

// kill sends a signal and waits for the end.
func (a *agent) kill(signal syscall.Signal) {
	a.t.Helper()
	if a.cmd == nil {
		return
	}
	if err := a.cmd.Process.Signal(signal); err != nil {
		a.t.Errorf("ending the agent of %s: %v", a.name, err)
	}
	err := a.cmd.Wait()
	if signal == syscall.SIGTERM && err != nil {
		a.t.Errorf("the agent of %s, told to end: %v", a.name, err)
	}
	a.cmd = nil
}

// writes is how many objects the agent says that it wrote to the kernel.
func (a *agent) writes() (total float64) {
	a.t.Helper()
	page, err := a.page("/metrics")
	if err != nil {
		a.t.Fatalf("metrics of the agent of %s: %v", a.name, err)
	}
	named := func(name string) []*dto.Metric {
		all, err := scrape.Metrics(page, name)
		if err != nil {
			a.t.Fatalf("metrics of the agent of %s: %v", a.name, err)
		}
		return all
	}
	if ready := named("tombolo_dataplane_ready"); len(ready) != 1 || ready[0].GetGauge().GetValue() != 1 {
		a.t.Fatalf("the agent of %s is not ready:\n%s", a.name, page)
	}
	for _, m := range named("tombolo_dataplane_kernel_writes_total") {
		total += m.GetCounter().GetValue()
	}
	return total
}

// eventually polls until there is no error.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("%s: not within %s: %v", what, limit, err)
}

// all does something to every agent.
func (s *site) all(do func(*agent)) {
	for _, a := range s.agents {
		do(a)
	}
}

// start starts all agents and waits until they are ready.
func (s *site) start() {
	s.t.Helper()
	s.all((*agent).start)
	s.all((*agent).ready)
}

func (s *site) kill(signal syscall.Signal) {
	s.t.Helper()
	s.all(func(a *agent) { a.kill(signal) })
}

// version is what a build says of itself.
func version(t *testing.T, program string) string {
	t.Helper()
	out, err := exec.Command(program, "--version").Output()
	if err != nil {
		t.Fatalf("%s: %v (make build makes it)", program, err)
	}
	return fmt.Sprint(strings.TrimSpace(string(out)))
}

// workers is the agent of the worker.
func (s *site) workers() *agent { return s.agents[0] }

// restart ends the process with a signal and returns when another one is ready.
func (a *agent) restart(signal syscall.Signal) {
	a.t.Helper()
	a.kill(signal)
	a.start()
	a.ready()
}
