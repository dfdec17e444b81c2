//go:build kernel || integration

package wireguard

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// childVariable makes the test's own program serve the devices of the pair's end a.
const childVariable = "TOMBOLO_TEST_SERVES"

// TestUserspaceChild is no test: TestUserspaceKilled starts it as a process of its own.
func TestUserspaceChild(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		t.Skip("TestUserspaceKilled starts this")
	}
	d := New()
	ctx := logr.NewContext(context.Background(), testr.NewWithOptions(t, testr.Options{LogTimestamp: true, Verbosity: 2}))
	go func() { _ = d.Run(ctx) }()
	if _, err := d.Sync(ctx, configA(true)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Hour)
}

// floodInterval is longer than WireGuard ignores a second handshake of the same peer
// (HandshakeInitationRate of the library).
const floodInterval = 50 * time.Millisecond

// A process that is killed leaves the TUN with its route. The next one adopts it, and the tunnel is
// there again.
func TestUserspaceKilled(t *testing.T) {
	eachUserspace(t, func(t *testing.T) {
		p := newPair(t, true, true)
		p.ping(t)
		p.a.stop()
		time.Sleep(floodInterval)
		for range 4 {
			output := filepath.Join(t.TempDir(), "output")
			child := p.a.startChild(t, output)
			began := time.Now()
			if err := p.answerSoon(); err != nil {
				said, _ := os.ReadFile(output)
				t.Fatalf("no answer through the tunnel: %v; the process said:\n%s", err, said)
			}
			t.Logf("back %s after the process was started", time.Since(began).Round(10*time.Millisecond))
			time.Sleep(floodInterval)
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = child.Wait() // says that it was killed
		}
	})
}

// startChild starts a process that serves the end's devices, and writes into the file what it
// prints.
func (e *end) startChild(t *testing.T, output string) *exec.Cmd {
	t.Helper()
	t.Setenv(childVariable, "yes")
	return e.ns.Start("sh", "-c", `exec "$0" -test.run '^TestUserspaceChild$' -test.v > "$1" 2>&1`, os.Args[0], output)
}

// answerSoon asks b from a for a connection to a port where nobody listens, until b refuses.
func (p *pair) answerSoon() error {
	deadline := time.Now().Add(time.Minute)
	for {
		var err error
		p.a.ns.Do(func() { _, err = net.DialTimeout("tcp", "245.0.32.1:9", 100*time.Millisecond) })
		if errors.Is(err, unix.ECONNREFUSED) {
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

// Without the device file, the error says what is missing and what helps.
func TestUserspaceWithoutTUN(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("this needs root, for mounts")
	}
	ns := netns.New(t)
	ns.OwnFolder("/dev/net")
	for _, mode := range []v1alpha1.WireGuardMode{v1alpha1.WireGuardUserspace, v1alpha1.WireGuardAuto, v1alpha1.WireGuardKernel, ""} {
		var err error
		var userspace bool
		ns.Do(func() { userspace, err = Check(mode) })
		if mode != v1alpha1.WireGuardUserspace && err == nil && !userspace {
			continue // the kernel has WireGuard
		}
		asksForTUN := mode != v1alpha1.WireGuardKernel
		if errors.Is(err, ErrNoTUN) != asksForTUN || errors.Is(err, ErrNoKernelSupport) != (mode != v1alpha1.WireGuardUserspace) {
			t.Errorf("%s: %v", mode, err)
		}
		if asksForTUN && !strings.Contains(err.Error(), "apply the component config/userspace-wireguard") {
			t.Errorf("%s: %v", mode, err)
		}
	}
}
