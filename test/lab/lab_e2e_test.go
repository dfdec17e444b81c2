//go:build e2e

package lab_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/test/lab"
	"github.com/tombolo-net/tombolo/test/lab/node"
	"github.com/tombolo-net/tombolo/test/lab/underlay"
)

// TestLab keeps a lab running and uses every part of it once.
func TestLab(t *testing.T) {
	program := build(t)
	name := fmt.Sprintf("e2e-%d", os.Getpid())
	run(t, program, "up", "--name", name, "--cni", "flannel,calico")
	dir := strings.TrimSpace(run(t, program, "shell", "--name", name, "--", "printenv", lab.RunEnv))
	t.Cleanup(func() {
		run(t, program, "down", "--name", name)
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("run folder %s is still there", dir)
		}
		assertNothingLeft(t, dir)
	})
	l, err := lab.Connect(dir)
	if err != nil {
		t.Fatal(err)
	}
	b := bench{lab: l, kubectl: func(t *testing.T, args ...string) string {
		return run(t, program, append([]string{"shell", "--name", name, "--", "kubectl"}, args...)...)
	}}
	t.Run("gateways are labelled", b.gateways)
	t.Run("pods", b.pods)
	t.Run("faults", b.faults)
	t.Run("cut one way", b.cutOneWay)
	t.Run("cut a port", b.cutPort)
	t.Run("MTU", b.mtu)
	t.Run("NAT", b.nat)
	t.Run("API server stopped", b.stopAPI)
	t.Run("capture", b.capture)
	t.Run("pause", b.pause)
	t.Run("reboot", b.reboot)
}

// bench is a running lab and the way into it.
type bench struct {
	lab     *lab.Client
	kubectl func(t *testing.T, args ...string) string
}

func (b bench) gateways(t *testing.T) {
	for _, cluster := range []string{"east", "west"} {
		got := b.kubectl(t, "--context", cluster, "get", "nodes", "-l", lab.GatewayLabel+"=true", "-o", "name")
		if diff := cmp.Diff("node/"+cluster+"-1\n", got); diff != "" {
			t.Errorf("gateways of %s (-want +got):\n%s", cluster, diff)
		}
	}
}

// pods runs one on each node: they are reached from outside, reach each other on the way that their
// CNI has, and resolve names.
func (b bench) pods(t *testing.T) {
	for _, tt := range []struct {
		cluster string
		way     string
	}{
		{"east", "dev flannel.1"},
		{"west", "via 192.168.127.22 dev eth0 proto bird"},
	} {
		t.Run(tt.cluster, func(t *testing.T) {
			first, second := "on-"+tt.cluster+"-1", "on-"+tt.cluster+"-2"
			for _, pod := range []string{first, second} {
				node := strings.TrimPrefix(pod, "on-")
				overrides := fmt.Sprintf(`{"spec":{"nodeName":%q,"terminationGracePeriodSeconds":0}}`, node)
				b.kubectl(t, "--context", tt.cluster, "run", pod, "--image=busybox", "--overrides="+overrides,
					"--", "sh", "-c", "echo hello from "+node+"; sleep 3600")
			}
			b.kubectl(t, "--context", tt.cluster, "wait", "--for=condition=Ready", "--timeout=180s", "pod/"+first, "pod/"+second)
			if got := b.kubectl(t, "--context", tt.cluster, "logs", second); got != "hello from "+tt.cluster+"-2\n" {
				t.Errorf("log %q", got)
			}
			cidr := b.kubectl(t, "--context", tt.cluster, "get", "node", tt.cluster+"-2", "-o", "jsonpath={.spec.podCIDR}")
			if got := b.on(t, tt.cluster+"-1", "ip", "route", "show", cidr); !strings.Contains(got, tt.way) {
				t.Errorf("the way to pods of %s-2: %s, want %s", tt.cluster, got, tt.way)
			}
			address := b.kubectl(t, "--context", tt.cluster, "get", "pod", second, "-o", "jsonpath={.status.podIP}")
			b.kubectl(t, "--context", tt.cluster, "exec", first, "--", "ping", "-c", "1", "-W", "5", address)
			b.kubectl(t, "--context", tt.cluster, "exec", first, "--", "nslookup", "kubernetes.default.svc.cluster.local")
		})
	}
}

// on returns what a command prints on a node.
func (b bench) on(t *testing.T, name string, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	code, err := b.lab.Exec(t.Context(), name, node.Command{Args: args, Stdout: &out})
	if code != 0 || err != nil {
		t.Errorf("%s on %s: exit code %d, %v", strings.Join(args, " "), name, code, err)
	}
	return out.String()
}

func (b bench) faults(t *testing.T) {
	ctx := t.Context()
	if err := b.lab.Cut(ctx, "east-1", "west", underlay.Selection{}); err != nil {
		t.Fatal(err)
	}
	if b.pings(t, "east-1", "192.168.127.21") {
		t.Error("east-1 reaches west-1 though they are cut")
	}
	b.reaches(t, "east-1", "192.168.127.12", "east-2, which is not cut")
	if err := b.lab.Heal(ctx, "east-1", "west"); err != nil {
		t.Fatal(err)
	}
	b.reaches(t, "east-1", "192.168.127.21", "west-1 though they are healed")
	if err := b.lab.Cut(ctx, "east-1", "nowhere-1", underlay.Selection{}); !errors.Is(err, lab.ErrUnknownNode) {
		t.Errorf("cutting an unknown node: %v", err)
	}
}

// pings says whether the node gets an answer from address.
func (b bench) pings(t *testing.T, from, address string) bool {
	t.Helper()
	code, err := b.lab.Exec(t.Context(), from, node.Command{Args: []string{"busybox", "ping", "-c", "1", "-W", "2", address}})
	if err != nil {
		t.Fatal(err)
	}
	return code == 0
}

// reaches waits until the node gets an answer from address: for the first one it may have to give
// up an older question for the neighbour, which takes the kernel three seconds.
func (b bench) reaches(t *testing.T, from, address, what string) {
	t.Helper()
	eventually(t, time.Minute, func() error {
		if !b.pings(t, from, address) {
			return fmt.Errorf("%s does not reach %s, %s", from, address, what)
		}
		return nil
	})
}

func (b bench) capture(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	frames, err := b.lab.Capture(ctx, "east", "west")
	if err != nil {
		t.Fatal(err)
	}
	defer frames.Close()
	secret := "tombolo was here"
	script := "echo -n '" + secret + "' >/dev/udp/192.168.127.21/9999"
	if code, err := b.lab.Exec(ctx, "east-2", node.Command{Args: []string{"bash", "-c", script}}); code != 0 || err != nil {
		t.Fatalf("sending a datagram: exit code %d, %v", code, err)
	}
	var seen bytes.Buffer
	for buffer := make([]byte, 4096); !bytes.Contains(seen.Bytes(), []byte(secret)); {
		n, err := frames.Read(buffer)
		seen.Write(buffer[:n])
		if err != nil {
			t.Fatalf("the datagram is not in the capture of %d bytes: %v", seen.Len(), err)
		}
	}
}

func (b bench) pause(t *testing.T) {
	ctx := t.Context()
	if err := b.lab.Pause(ctx, "west-2"); err != nil {
		t.Fatal(err)
	}
	if b.pings(t, "west-1", "192.168.127.22") {
		t.Error("west-2 answers though it is paused")
	}
	if err := b.lab.Resume(ctx, "west-2"); err != nil {
		t.Fatal(err)
	}
	b.reaches(t, "west-1", "192.168.127.22", "west-2 though it is resumed")
}

func (b bench) reboot(t *testing.T) {
	ctx := t.Context()
	if err := b.lab.Kill(ctx, "east-2"); err != nil {
		t.Fatal(err)
	}
	if err := b.lab.Resume(ctx, "east-2"); !errors.Is(err, lab.ErrState) {
		t.Errorf("resuming a node that is off: %v", err)
	}
	status, err := b.lab.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]lab.State{"east-1": lab.Running, "east-2": lab.Off, "west-1": lab.Running, "west-2": lab.Running}
	if diff := cmp.Diff(want, status.Nodes); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
	boot := "jsonpath={.status.nodeInfo.bootID}"
	before := b.kubectl(t, "--context", "east", "get", "node", "east-2", "-o", boot)
	if err := b.lab.Start(ctx, "east-2"); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() error {
		if b.kubectl(t, "--context", "east", "get", "node", "east-2", "-o", boot) == before {
			return errors.New("east-2 has not said that it was rebooted")
		}
		return nil
	})
	b.kubectl(t, "--context", "east", "wait", "--for=condition=Ready", "--timeout=180s", "node/east-2")
	cidr := b.kubectl(t, "--context", "east", "get", "node", "east-2", "-o", "jsonpath={.spec.podCIDR}")
	address, _, _ := strings.Cut(cidr, "/") // the node's own address on the VXLAN, which was made again
	b.reaches(t, "east-1", address, "the VXLAN of east-2 that is up again")
}

// TestRunEnds checks that a lab leaves nothing, however it ends.
func TestRunEnds(t *testing.T) {
	program := build(t)
	tests := []struct {
		name   string
		signal syscall.Signal
		folder bool // stays
	}{
		{"interrupted", syscall.SIGINT, false},
		{"terminated", syscall.SIGTERM, false},
		{"killed", syscall.SIGKILL, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := runUntil(t, program, tt.signal)
			assertNothingLeft(t, dir)
			_, err := os.Stat(dir)
			if left := err == nil; left != tt.folder {
				t.Errorf("run folder left: %t, want %t", left, tt.folder)
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRunInterruptedEarly checks that nothing is left of a lab that is still booting.
func TestRunInterruptedEarly(t *testing.T) {
	tmp := t.TempDir()
	cmd := exec.Command(build(t), "run", "--clusters=1", "--nodes=1", "--", "true")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() error {
		if found, _ := filepath.Glob(filepath.Join(tmp, "*", "nodes", "*", "logs", "*")); len(found) == 0 {
			return errors.New("no node boots")
		}
		return nil
	})
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("lab run ended with exit code 0")
	}
	assertNothingLeft(t, tmp)
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left in the folder for temporary files: %v, %v", left, err)
	}
}

// TestRunPassesExitCode checks that lab run ends as its command does, and keeps the logs of one
// that fails.
func TestRunPassesExitCode(t *testing.T) {
	cmd := exec.Command(build(t), "run", "--clusters=1", "--nodes=1", "--", "sh", "-c", "echo $LAB_RUN; exit 7")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("lab run: %v, want exit code 7", err)
	}
	dir := strings.TrimSpace(string(out))
	t.Cleanup(func() { os.RemoveAll(dir) })
	assertNothingLeft(t, dir)
	for _, log := range []string{"logs/etcd.log", "logs/east-kube-apiserver.log", "nodes/east-1/logs/kubelet.log", "logs/pods/east/*_coredns.log"} {
		if found, err := filepath.Glob(filepath.Join(dir, log)); err != nil || len(found) == 0 {
			t.Errorf("no %s was kept (%v)", log, err)
		}
	}
}

// runUntil starts lab run, sends it the signal once its command runs, and returns its run folder.
func runUntil(t *testing.T, program string, signal syscall.Signal) string {
	t.Helper()
	cmd := exec.Command(program, "run", "--clusters=1", "--nodes=1", "--", "sh", "-c", "echo $LAB_RUN; exec sleep 600")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var line []byte
	for !bytes.HasSuffix(line, []byte("\n")) {
		buffer := make([]byte, 1)
		if _, err := io.ReadFull(out, buffer); err != nil {
			t.Fatalf("lab run ended before its command ran: %v\n%s", cmd.Wait(), &errs)
		}
		line = append(line, buffer...)
	}
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("lab run ended with exit code 0")
	}
	return strings.TrimSpace(string(line))
}

// assertNothingLeft checks that no process, socket or mount knows the run folder dir.
func assertNothingLeft(t *testing.T, dir string) {
	t.Helper()
	if !strings.HasPrefix(dir, os.TempDir()) {
		t.Fatalf("%q is not a run folder", dir)
	}
	eventually(t, 5*time.Second, func() error {
		var errs []error
		processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			return err
		}
		for _, file := range append(processes, "/proc/net/unix", "/proc/self/mounts") {
			text, _ := os.ReadFile(file) // a process may have ended
			if bytes.Contains(text, []byte(dir)) {
				errs = append(errs, fmt.Errorf("%s names %s", file, dir))
			}
		}
		return errors.Join(errs...)
	})
}

// build builds the program lab.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "lab")
	cmd := exec.Command("go", "build", "-o", program, "./cmd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building lab: %v\n%s", err, out)
	}
	return program
}

// run runs a program and returns what it prints.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("lab %s: %v\n%s%s", strings.Join(args, " "), err, out, &errs)
	}
	return string(out)
}

// eventually repeats check until it returns nil.
func eventually(t *testing.T, timeout time.Duration, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(timeout); ; time.Sleep(100 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
