//go:build kernel

package agent

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/nftables"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// refused is a node that serves one import, and cannot serve the next one.
type refused struct {
	*fixture
	pod     *netns.Namespace
	backend v1alpha1.DataplaneBackend
}

func newRefused(t *testing.T, backend v1alpha1.DataplaneBackend) *refused {
	worker, pod, gatewayNet, _ := newWorker(t)
	f := newFixture(t, worker, nodeObject("gateway", "192.0.2.2", "10.2.0.0/24"), gatewayNode("gateway", "192.0.2.2", 3),
		remote("east", "10.1.0.0/16"), imported("web", "244.0.0.7", web80), slice("web", "east", 8080, "10.1.0.5"))
	set := clusterSet()
	set.Spec.Dataplane.Backend = backend
	f.applyStatus(set)
	f.on("gateway", gatewayNet).pass(node.Marked)
	f.pass(node.Marked)
	r := &refused{fixture: f, pod: pod, backend: backend}
	r.serves("at first")
	return r
}

// serves asks as a pod does.
func (r *refused) serves(when string) {
	r.t.Helper()
	if answer, err := r.pod.Ask("tcp", "244.0.0.7:80"); answer != "away 10.2.1.5" {
		r.t.Errorf("%s: %q, %v", when, answer, err)
	}
}

// fails checks the agent while pass fails: it reports what is wrong, goes on serving, and does not
// try again and again. whole says that nothing at all can be programmed; then nothing must be.
func (r *refused) fails(name, want string, whole bool, pass func(node.Cause)) {
	r.t.Helper()
	t := r.t
	before := snapshot(r.node)
	r.apply(imported("more", "244.0.0.8", web80))
	r.apply(slice("more", "east", 8080, "10.1.0.5"))
	pass(node.Marked)
	if got := r.condition(); !strings.HasPrefix(got, "False "+want) {
		t.Errorf("%s: condition %q, want %q", name, got, want)
	}
	t.Logf("%s: %s", name, r.condition())
	if r.agent.Ready() == nil {
		t.Errorf("%s: the agent is ready", name)
	}
	if diff := differing(before, snapshot(r.node)); whole && diff != "" {
		t.Errorf("%s: half programmed:\n%s", name, diff)
	}
	errors, begin := total(t, r.agent.cfg.Metrics.syncErrors), time.Now()
	for range 20 {
		pass(node.Ticked)
	}
	// Each part that fails makes at most as many attempts as waits of 1 s, 2 s and so on allow.
	most := float64(len(r.agent.parts())) * (1 + time.Since(begin).Seconds())
	if tried := total(t, r.agent.cfg.Metrics.syncErrors) - errors; tried > most {
		t.Errorf("%s: %v attempts in %s", name, tried, time.Since(begin))
	}
	r.serves(name)
}

// heals checks that the agent finds out by itself when it can go on.
func (r *refused) heals(name string) {
	r.t.Helper()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline) && !strings.HasPrefix(r.condition(), "True"); time.Sleep(100 * time.Millisecond) {
		r.pass(node.Ticked)
	}
	if got := r.condition(); !strings.HasPrefix(got, "True Ready") {
		r.t.Errorf("%s, mended: condition %q", name, got)
	}
	r.serves(name + ", mended")
	if answer, err := r.pod.Ask("tcp", "244.0.0.8:80"); answer != "away 10.2.1.5" {
		r.t.Errorf("%s, mended: what came meanwhile: %q, %v", name, answer, err)
	}
	r.delete(imported("more", "244.0.0.8", web80))
	r.delete(slice("more", "east", 8080, "10.1.0.5"))
	r.pass(node.Marked)
}

// differing returns the lines that only one of them has, without those that have counters.
func differing(before, after []string) string {
	count := map[string]int{}
	for _, line := range before {
		count[line]--
	}
	for _, line := range after {
		count[line]++
	}
	var all strings.Builder
	for line, n := range count {
		if n != 0 && !strings.Contains(line, "->") {
			fmt.Fprintf(&all, "%+d %s\n", n, line)
		}
	}
	return all.String()
}

// TestKernelRefuses: the agent reports with the remedy what keeps it from programming the kernel,
// and tries again less and less often. What was served stays served as a whole. What came meanwhile
// is served as soon as it can be.
func TestKernelRefuses(t *testing.T) {
	for _, backend := range []v1alpha1.DataplaneBackend{v1alpha1.BackendIPVS, v1alpha1.BackendNFTables} {
		t.Run(string(backend), func(t *testing.T) {
			r := newRefused(t, backend)
			r.fails("without the capability", "NotPermitted the dataplane may not change the network: it needs the capability NET_ADMIN", true, func(cause node.Cause) {
				r.node.Do(func() {
					loseNetAdmin(t)
					r.agent.pass(t.Context(), time.Now(), cause)
				})
			})
			r.heals("without the capability")
			r.restart() // a socket that is open would show that the kernel has it
			r.fails("without nf_tables", "KernelModuleMissing ", backend == v1alpha1.BackendNFTables, func(cause node.Cause) {
				r.node.Do(func() {
					refuseSyscall(t, unix.SYS_SOCKET, unix.EPROTONOSUPPORT, unix.NETLINK_NETFILTER)
					r.agent.pass(t.Context(), time.Now(), cause)
				})
			})
			r.heals("without nf_tables")
			r.fails("without room", "NoRoom ", true, func(cause node.Cause) {
				r.node.Do(func() {
					refuseSyscall(t, unix.SYS_SENDTO, unix.ENOSPC, -1)
					r.agent.pass(t.Context(), time.Now(), cause)
				})
			})
			r.heals("without room")
			if backend == v1alpha1.BackendNFTables {
				r.ownedTable()
			}
			r.withoutNFT()
		})
	}
}

// refuseSyscall makes the kernel refuse a system call to this thread, and to the programs that it
// runs, by seccomp. It does so only where protocol is the third argument, as of socket; -1: always.
func refuseSyscall(t *testing.T, number uint32, errno unix.Errno, protocol int) {
	t.Helper()
	const load, equal, answer = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	const numberAt, thirdAt = 0, 16 + 2*8 // struct seccomp_data
	program := []unix.SockFilter{
		{Code: load, K: numberAt}, {Code: equal, K: number, Jf: 3},
		{Code: load, K: thirdAt}, {Code: equal, K: uint32(protocol), Jf: 1},
		{Code: answer, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: answer, K: unix.SECCOMP_RET_ALLOW},
	}
	if protocol < 0 {
		program[3].Jf = 0
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&filter)), 0, 0); err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(program)
}

// withoutNFT starts an agent where PATH leads to no nft. Both backends need nft when rules of the
// filter change, as for another cluster. A new port needs none.
func (r *refused) withoutNFT() {
	path, empty := os.Getenv("PATH"), r.t.TempDir()
	r.restart()
	r.apply(remote("north", "10.9.0.0/16"))
	r.fails("without nft", "ProgramMissing starting nftables: the program nft is missing or too old: install the package nftables, version 1.0.1 or later", false, func(cause node.Cause) {
		r.t.Setenv("PATH", empty)
		r.pass(cause)
		r.t.Setenv("PATH", path)
	})
	if answer, err := r.pod.Ask("tcp", "244.0.0.8:80"); answer != "away 10.2.1.5" {
		r.t.Errorf("what came without nft: %q, %v", answer, err)
	}
	r.heals("without nft")
}

// ownedTable lets another program own a table of our name, so that the kernel refuses all changes
// (EPERM). Routes are repaired meanwhile.
func (r *refused) ownedTable() {
	t := r.t
	nft := exec.Command("nft", "-i")
	in, err := nft.StdinPipe()
	if err == nil {
		r.node.Do(func() { err = nft.Start() })
	}
	if err == nil {
		_, err = fmt.Fprintf(in, "delete table inet %s\nadd table inet %[1]s { flags owner; }\n", nftables.TableName)
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the table of another program", func() string {
		return fmt.Sprint(strings.Contains(r.node.Run("nft", "list", "ruleset"), "flags owner"))
	}, "true")
	r.pass(node.Ticked)
	got := r.condition()
	for _, want := range []string{"False NotPermitted", "the dataplane may not change nftables", "flags owner"} {
		if !strings.Contains(got, want) {
			t.Errorf("condition %q lacks %q", got, want)
		}
	}
	r.node.Run("ip", "rule", "del", "pref", "7474")
	r.agent.routes.touched.Store(true) // as the watch does
	r.pass(node.Ticked)
	if rules := r.node.Run("ip", "rule"); !strings.Contains(rules, "7474:") {
		t.Errorf("while nftables fails a rule is not repaired: %s", rules)
	}
	in.Close()
	_ = nft.Wait()
	r.apply(imported("more", "244.0.0.8", web80))
	r.apply(slice("more", "east", 8080, "10.1.0.5"))
	r.heals("without its table")
}

// TestCounters: nftables counts flows while the ClusterSet asks for it.
func TestCounters(t *testing.T) {
	r := newRefused(t, v1alpha1.BackendNFTables)
	for _, on := range []bool{true, false} {
		set := clusterSet()
		set.Spec.Dataplane.Backend, set.Spec.Dataplane.Counters = v1alpha1.BackendNFTables, on
		r.applyStatus(set)
		r.pass(node.Marked)
		for range 3 {
			r.serves(fmt.Sprint("counters ", on))
		}
		listing := r.node.Run("nft", "list", "map", "inet", nftables.TableName, "services4")
		if strings.Contains(listing, "244.0.0.7 . tcp . 80 counter packets 3 bytes ") != on || strings.Contains(listing, "counter") != on {
			t.Errorf("counters %t: %s", on, listing)
		}
		r.quiet()
	}
}

// TestTablesOfAnOlderVersion: the agent replaces tables of our names that another version, older or
// newer, has left. Nobody needs to do anything.
func TestTablesOfAnOlderVersion(t *testing.T) {
	worker, pod, gatewayNet, _ := newWorker(t)
	worker.Run("nft", `add table inet tombolo-services
		add map inet tombolo-services services4 { type ipv4_addr . inet_service : verdict; }
		add chain inet tombolo-services old
		add rule inet tombolo-services old drop
		add chain inet tombolo-services prerouting { type nat hook prerouting priority -110; }
		add rule inet tombolo-services prerouting ip daddr . th dport vmap @services4
		add element inet tombolo-services services4 { 244.0.0.7 . 80 : goto old }
		add table inet tombolo
		add set inet tombolo served4 { type ipv4_addr . inet_service; }
		add chain inet tombolo refuse { type filter hook prerouting priority -300; }
		add rule inet tombolo refuse ip daddr 244.0.0.0/16 drop`)
	f := newFixture(t, worker, nodeObject("gateway", "192.0.2.2", "10.2.0.0/24"), gatewayNode("gateway", "192.0.2.2", 3),
		remote("east", "10.1.0.0/16"), imported("web", "244.0.0.7", web80), slice("web", "east", 8080, "10.1.0.5"))
	set := clusterSet()
	set.Spec.Dataplane.Backend = v1alpha1.BackendNFTables
	f.applyStatus(set)
	f.on("gateway", gatewayNet).pass(node.Marked)
	f.pass(node.Marked)
	if got := f.condition(); !strings.HasPrefix(got, "True Ready") {
		t.Errorf("condition %q", got)
	}
	if answer, err := pod.Ask("tcp", "244.0.0.7:80"); answer != "away 10.2.1.5" {
		t.Errorf("%q, %v", answer, err)
	}
	if rules := worker.Run("nft", "list", "ruleset"); strings.Contains(rules, "ip daddr 244.0.0.0/16 drop") || strings.Contains(rules, "chain old") {
		t.Errorf("something old is left:\n%s", rules)
	}
	f.quiet()
}
