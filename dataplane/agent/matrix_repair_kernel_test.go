//go:build kernel

package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/kubeproxy"
)

// repairs: what others break is mended, and what is others' stays.
func (s *site) repairs(backend v1alpha1.DataplaneBackend) {
	s.t.Helper()
	f := s.fixture(backend, bothFamilies)
	defer f.leave()
	f.serve("web", 1, servicePorts(allPorts...)...)
	for _, a := range bothFamilies {
		f.endpoints("web", "east", a, endpointPorts("east", allPorts...), ready(a.away[0]), ready(a.away[1]))
	}
	f.pass(node.Marked)
	f.pass(node.Audited) // sysctls
	f.quiet()
	if told := f.events.repairs(); len(told) > 0 {
		s.t.Errorf("before anything was damaged, the agent told of the repairs %q", told)
	}
	want := s.ours()
	if backend == v1alpha1.BackendIPVS {
		f.leavesForeign()
		f.mendsDestination()
		f.tellsSysctls()
	}
	// A kube-proxy that starts in mode ipvs beside nftables was there in changeProxy.
	if s.proxy != nil && (backend == v1alpha1.BackendIPVS || s.mode != kubeproxy.IPVS) {
		f.mendsRestart(want)
	}
	f.mendsWhileRunning(want)
}

// repaired is how often the agent has mended that part.
func (f *siteFixture) repaired(part string) (count float64) {
	f.t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(f.agent.cfg.Metrics.repairs)
	families, err := registry.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if m.GetLabel()[0].GetValue() == part {
				count += m.GetCounter().GetValue()
			}
		}
	}
	return count
}

// mendsRestart: kube-proxy in mode nftables wipes the IPVS table when it starts, if it can ask
// modprobe for the module; in the other modes it leaves ours alone.
func (f *siteFixture) mendsRestart(want []string) {
	f.t.Helper()
	served := f.site.virtualServices()
	wiped := f.site.mode == kubeproxy.NFTables && f.backend == v1alpha1.BackendIPVS
	f.restartProxy()
	f.events.repairs()
	writes, repaired := f.writes(), f.repaired("services")
	if wiped {
		if left := f.site.virtualServices(); len(left) > 0 {
			f.t.Errorf("kube-proxy has left %q: the test proves nothing", left)
		}
		if got := said(f.site.pod, "tcp", ipv4.to(1, 80)); got != "refused" {
			f.t.Errorf("while the table is empty: %q, want a refusal", got)
		}
	} else if diff := cmp.Diff(served, f.site.virtualServices()); diff != "" {
		f.t.Errorf("a restart of kube-proxy changed our virtual services (-before +after)\n%s", diff)
	}
	f.pass(node.Ticked)
	if wrote := f.writes() > writes; wrote != wiped {
		f.t.Errorf("after a restart of kube-proxy the agent wrote: %t, want %t", wrote, wiped)
	}
	if mended := f.repaired("services") > repaired; mended != wiped {
		f.t.Errorf("after a restart of kube-proxy the agent counted a repair: %t, want %t", mended, wiped)
	}
	told := f.events.repairs()
	if wiped != (len(told) == 1 && strings.Contains(told[0], "entries of the IPVS table")) || !wiped && len(told) > 0 {
		f.t.Errorf("after a restart of kube-proxy the agent told of the repairs %q", told)
	}
	f.whole("a restart of kube-proxy", want)
}

func (f *siteFixture) restartProxy() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), startLimit)
	defer cancel()
	if err := f.site.proxy.Restart(ctx); err != nil {
		f.t.Fatalf("restarting kube-proxy: %v", err)
	}
}

// whole fails the test unless all of ours is there, or soon will be, and serves.
func (f *siteFixture) whole(after string, want []string) {
	f.t.Helper()
	got := f.site.ours()
	for deadline := time.Now().Add(limit); !slices.Equal(want, got) && time.Now().Before(deadline); {
		got = f.site.ours() // what was damaged only after a repair had begun is for the next one
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.t.Errorf("after %s (-want +got)\n%s", after, diff)
	}
	for _, a := range bothFamilies {
		if got := said(f.site.pod, "tcp", a.to(1, 80)); !strings.HasSuffix(got, " "+a.pod) {
			f.t.Errorf("%s after %s: %q", a.name, after, got)
		}
	}
}

// mendsDestination: a destination is found out about in turn, a few services in every repair.
func (f *siteFixture) mendsDestination() {
	f.t.Helper()
	served := f.site.virtualServices()
	f.site.worker.Run("ipvsadm", "-d", "-u", "[fdff:1::1]:53", "-r", "[fd00:1::11]:8053")
	for deadline := time.Now().Add(limit); time.Now().Before(deadline) && !slices.Equal(served, f.site.virtualServices()); {
		f.pass(node.Ticked)
	}
	if diff := cmp.Diff(served, f.site.virtualServices()); diff != "" {
		f.t.Errorf("after a destination was deleted (-want +got)\n%s", diff)
	}
}

// leavesForeign: virtual services of somebody else's, inside of our blocks and outside.
func (f *siteFixture) leavesForeign() {
	f.t.Helper()
	foreign := []string{"-A -t 244.0.3.3:80 -s rr", "-a -t 244.0.3.3:80 -r 192.0.2.77:80 -m -w 1"}
	if f.site.mode != kubeproxy.IPVS { // which takes those outside for its own
		foreign = append(foreign, "-A -u 203.0.113.9:53 -s lc")
	}
	for _, service := range foreign {
		f.site.worker.Run("ipvsadm", strings.Fields(service)...)
	}
	f.pass(node.Audited)
	f.restart()
	f.pass(node.Marked)
	f.pass(node.Audited)
	got := f.site.worker.Run("ipvsadm", "-Sn")
	for _, service := range foreign {
		if !strings.Contains(got, service) {
			f.t.Errorf("a foreign virtual service %s is gone or changed: %s", service, got)
		}
	}
	if got := f.condition(); !strings.HasPrefix(got, "True Ready") || !strings.Contains(got, "left alone: TCP 244.0.3.3:80") {
		f.t.Errorf("with a foreign virtual service: condition %q", got)
	}
	for _, service := range foreign {
		if args := strings.Fields(service); args[0] == "-A" {
			f.site.worker.Run("ipvsadm", "-D", args[1], args[2])
		}
	}
	f.pass(node.Audited)
}

// damage is what somebody else does to what is ours.
type damage struct {
	name     string
	commands []string
	// told are words of the events that tell of the repairs.
	told []string
}

// damages to everything that is ours: first something of each part, then all that serves.
func (f *siteFixture) damages() []damage {
	routes := damage{name: "damage", commands: []string{
		"ip route del local 244.0.0.0/16 dev lo table local", "ip -6 route del local fdff:1::/112 dev lo table local", "ip -6 rule del pref 32000",
		"nft delete table inet tombolo",
	}, told: []string{"244.0.0.0/16", "fdff:1::/112", "32000", "the nftables table tombolo"}}
	if f.backend == v1alpha1.BackendNFTables {
		routes.commands = append(routes.commands, "nft flush chain inet tombolo-services prerouting")
		routes.told = append(routes.told, "the nftables table tombolo-services")
		wipe := damage{"a loss of all services", []string{"nft delete table inet tombolo-services"}, []string{"the nftables table tombolo-services"}}
		if f.site.proxy == nil {
			wipe = damage{"nft flush ruleset", []string{"nft flush ruleset"}, []string{"the nftables table tombolo", "the nftables table tombolo-services"}}
		}
		return []damage{routes, wipe}
	}
	routes.commands = append(routes.commands, "ipvsadm -D -t 244.0.0.1:80", "ipvsadm -E -u [fdff:1::1]:53 -s rr")
	routes.told = append(routes.told, "adding virtual service TCP 244.0.0.1:80")
	sysctls := "sysctl -q -w"
	for _, name := range oursSysctls {
		sysctls += " " + name + "=0"
		routes.told = append(routes.told, "sysctl "+strings.ReplaceAll(name, "/", "."))
	}
	routes.commands = append(routes.commands, sysctls)
	wipe := damage{"ipvsadm -C", []string{"ipvsadm -C"}, []string{"entries of the IPVS table"}}
	if f.site.mode == kubeproxy.IPVS { // whose services would go, too
		wipe.name, wipe.commands = "a loss of all services", nil
		for _, line := range f.site.virtualServices() {
			if args := strings.Fields(line); args[0] == "-A" {
				wipe.commands = append(wipe.commands, "ipvsadm -D "+args[1]+" "+args[2])
			}
		}
	}
	return []damage{routes, wipe}
}

// mendsWhileRunning: the agent's own loop, without being told, mends it and tells. How long that
// took is logged: it is about a second, unless the machine is busy.
func (f *siteFixture) mendsWhileRunning(want []string) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error, 1)
	go f.site.worker.Do(func() { done <- f.agent.Run(ctx) })
	if err := f.agent.loop.Ask(ctx, func() {}); err != nil { // until it watches
		f.t.Fatal(err)
	}
	defer func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("Run: %v", err)
		}
	}()
	for _, d := range f.damages() {
		f.events.repairs()
		for _, command := range d.commands {
			args := strings.Fields(command)
			f.site.worker.Run(args[0], args[1:]...)
		}
		f.t.Logf("%s: mended and told %s later", d.name, f.waitFor(d).Round(time.Millisecond))
		if f.site.proxy == nil && f.backend == v1alpha1.BackendNFTables && d.name == "nft flush ruleset" {
			f.site.masquerade()
		}
		f.whole(d.name, want)
	}
	if f.site.proxy != nil {
		f.outlivesCleanup(want)
	}
}

// outlivesCleanup: clusterset IPs are served while kube-proxy's own --cleanup has removed the rules of all its modes, the whole
// IPVS table among them, and after it is back.
func (f *siteFixture) outlivesCleanup(want []string) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), startLimit)
	defer cancel()
	if err := f.site.proxy.Cleanup(ctx); err != nil {
		f.t.Logf("%v: what it left, it says itself; the rest is looked at here", err) // such as a set that something else uses
	}
	for _, a := range bothFamilies {
		if got := said(f.site.pod, "tcp", at(a.service, 80)); strings.HasPrefix(got, at(a.neighbour, 7080)+" ") {
			f.t.Errorf("%s: the ordinary Service answers (%q): kube-proxy's rules are there, and the test proves nothing", a.name, got)
		}
	}
	f.whole("kube-proxy --cleanup", want)
	f.restartProxy()
	f.whole("the start after kube-proxy --cleanup", want)
}

// waitFor returns how long it took until the events had told of all of the damage.
func (f *siteFixture) waitFor(d damage) time.Duration {
	f.t.Helper()
	begin := time.Now()
	told := ""
	for time.Since(begin) < limit {
		for _, note := range f.events.repairs() {
			told += note + "\n"
		}
		if !slices.ContainsFunc(d.told, func(words string) bool { return !strings.Contains(told, words) }) {
			return time.Since(begin)
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.t.Errorf("%s: events told of %q, want %q", d.name, told, d.told)
	return time.Since(begin)
}

// tellsSysctls: those that it may not set, it reports, and sets them when it may.
func (f *siteFixture) tellsSysctls() {
	f.t.Helper()
	f.pass(node.Ticked)
	f.events.repairs()
	f.site.worker.Sysctl(oursSysctls[0], "0")
	f.site.worker.Do(func() {
		readOnlySysctls(f.t)
		f.agent.pass(f.t.Context(), time.Now(), node.Ticked)
	})
	const want = "; sysctl net.ipv4.vs.conntrack is 0, want 1, so that "
	const remedy = ": set it on the host with `sysctl -w net.ipv4.vs.conntrack=1` (read-only file system)"
	if got := f.condition(); !strings.HasPrefix(got, "True Ready ") || !strings.Contains(got, want) || !strings.HasSuffix(got, remedy) {
		f.t.Errorf("with a sysctl that it may not set: condition %q, want one with %q and %q", got, want, remedy)
	}
	if told := f.events.repairs(); len(told) > 0 {
		f.t.Errorf("with a sysctl that it may not set, it told of the repairs %q", told)
	}
	f.pass(node.Ticked)
	if got := f.condition(); strings.Contains(got, "sysctl") {
		f.t.Errorf("with a sysctl that it has set: condition %q", got)
	}
	if told := f.events.repairs(); !slices.Equal(told, []string{"sysctl net.ipv4.vs.conntrack"}) {
		f.t.Errorf("with a sysctl that it has set, it told of the repairs %q", told)
	}
}

// readOnlySysctls has this thread, which is to end, see sysctls as a container does: it may not
// write them.
func readOnlySysctls(t *testing.T) {
	t.Helper()
	const sys = "/proc/sys"
	if err := errors.Join(
		unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS),
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount(sys, sys, "", unix.MS_BIND, ""),
		unix.Mount("", sys, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""),
	); err != nil {
		t.Fatal(err)
	}
}
