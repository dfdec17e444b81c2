//go:build kernel || integration

package netns

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Namespace is a network namespace: a node or a pod of the test.
type Namespace struct {
	t      testing.TB
	handle netns.NsHandle
	// asked is how many times Ask has sent UDP.
	asked atomic.Uint32
	// mounts is the mount namespace; nil if it is the test's own.
	mounts *os.File
}

// New makes a namespace with its loopback device up. It forwards packets, as nodes do.
func New(t testing.TB) *Namespace {
	t.Helper()
	n := &Namespace{t: t}
	onThread(func() {
		var err error
		n.handle, err = netns.New()
		check(t, err, "making a namespace")
	})
	t.Cleanup(func() { n.handle.Close() })
	n.Do(func() {
		lo, err := netlink.LinkByName("lo")
		check(t, err, "finding lo")
		check(t, netlink.LinkSetUp(lo), "setting lo up")
	})
	n.Sysctl("net/ipv4/ip_forward", "1")
	if !KernelHasIPv6() {
		return n
	}
	n.Sysctl("net/ipv6/conf/all/forwarding", "1")
	// No duplicate address detection: until it is over, a second or two, a device's link-local
	// address asks no neighbour.
	n.Sysctl("net/ipv6/conf/all/accept_dad", "0")
	n.Sysctl("net/ipv6/conf/default/accept_dad", "0")
	return n
}

// KernelHasIPv6 reports whether the kernel was started with IPv6.
func KernelHasIPv6() bool {
	_, err := os.Stat("/proc/sys/net/ipv6")
	return err == nil
}

// SetIPv6 turns IPv6 on or off by the settings of these names, such as "all" or a device. A kernel
// without IPv6 has no such settings.
func (n *Namespace) SetIPv6(on bool, names ...string) {
	n.t.Helper()
	for _, name := range names {
		if KernelHasIPv6() {
			n.Sysctl("net/ipv6/conf/"+name+"/disable_ipv6", map[bool]string{true: "0", false: "1"}[on])
		}
	}
}

// Do runs f on a thread inside the namespace; f must not start goroutines that open sockets.
func (n *Namespace) Do(f func()) {
	n.t.Helper()
	onThread(func() {
		check(n.t, netns.Set(n.handle), "entering a namespace")
		if n.mounts != nil {
			check(n.t, n.enterMounts(), "entering a mount namespace")
		}
		f()
	})
}

// onThread runs f on a thread that ends with it, so that its namespace leaks into no other test. A
// panic or a FailNow in f is one of the caller.
func onThread(f func()) {
	type end struct {
		panicked any
		returned bool
	}
	done := make(chan end)
	go func() {
		var e end
		defer func() {
			e.panicked = recover()
			done <- e
		}()
		runtime.LockOSThread()
		f()
		e.returned = true
	}()
	switch e := <-done; {
	case e.panicked != nil:
		panic(e.panicked)
	case !e.returned:
		runtime.Goexit()
	}
}

// Sysctl sets a file below /proc/sys.
func (n *Namespace) Sysctl(name, value string) {
	n.t.Helper()
	n.Do(func() { check(n.t, os.WriteFile("/proc/sys/"+name, []byte(value), 0), "setting "+name) })
}

// Go runs f on a thread inside the namespace and does not wait for it. The caller does.
func (n *Namespace) Go(f func()) { go n.Do(f) }

// Try runs a program in the namespace and returns all it printed.
func (n *Namespace) Try(name string, args ...string) (output string, err error) {
	n.t.Helper()
	n.Do(func() {
		var out []byte
		out, err = exec.Command(name, args...).CombinedOutput()
		output = string(out)
	})
	return output, err
}

// Run is Try, and fails the test if the program does.
func (n *Namespace) Run(name string, args ...string) string {
	n.t.Helper()
	output, err := n.Try(name, args...)
	check(n.t, err, fmt.Sprintf("running %s %s: %s", name, strings.Join(args, " "), output))
	return output
}

// Start starts a program in the namespace. It ends with the test.
func (n *Namespace) Start(name string, args ...string) *exec.Cmd {
	n.t.Helper()
	cmd := exec.Command(name, args...)
	n.Do(func() { check(n.t, cmd.Start(), "starting "+name) })
	n.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

func check(t testing.TB, err error, what string) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
