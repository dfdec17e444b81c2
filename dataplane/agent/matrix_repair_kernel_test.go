//go:build kernel

package agent

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/kubeproxy"
)

// repairs: what others break is mended, and what is others' stays.
func (s *site) repairs(backend v1alpha1.DataplaneBackend) {
	s.t.Helper()
	f := s.fixture(backend, bothFamilies)
	f.serve("web", 1, servicePorts(allPorts...)...)
	for _, a := range bothFamilies {
		f.endpoints("web", "east", a, endpointPorts("east", allPorts...), ready(a.away[0]), ready(a.away[1]))
	}
	f.pass(none)
	f.pass(everything) // sysctls
	f.quiet()
	want := s.ours()
	f.mendsDamage(want)
	if backend == v1alpha1.BackendIPVS {
		f.leavesForeign()
	}
	if s.proxy == nil {
		f.mendsFlush(want)
	} else {
		f.mendsRestart(want)
	}
	f.mendsWhileRunning(want)
	f.leave()
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

// mendsRestart: kube-proxy in mode nftables wipes the IPVS table when it starts, if it can ask modprobe for the module;
// in the other modes it leaves ours alone.
func (f *siteFixture) mendsRestart(want []string) {
	f.t.Helper()
	served := f.site.virtualServices()
	wiped := f.site.mode == kubeproxy.NFTables && f.backend == v1alpha1.BackendIPVS
	f.restartProxy()
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
	f.pass(services)
	if wrote := f.writes() > writes; wrote != wiped {
		f.t.Errorf("after a restart of kube-proxy the agent wrote: %t, want %t", wrote, wiped)
	}
	if mended := f.repaired("services") > repaired; mended != wiped {
		f.t.Errorf("after a restart of kube-proxy the agent counted a repair: %t, want %t", mended, wiped)
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

// whole fails the test unless all of ours is there and serves.
func (f *siteFixture) whole(after string, want []string) {
	f.t.Helper()
	if diff := cmp.Diff(want, f.site.ours()); diff != "" {
		f.t.Errorf("after %s (-want +got)\n%s", after, diff)
	}
	for _, a := range bothFamilies {
		if got := said(f.site.pod, "tcp", a.to(1, 80)); !strings.HasSuffix(got, " "+a.pod) {
			f.t.Errorf("%s after %s: %q", a.name, after, got)
		}
	}
}

// mendsDamage: of everything, something is taken away or changed.
func (f *siteFixture) mendsDamage(want []string) {
	f.t.Helper()
	damage := []string{
		"ip route del local 244.0.0.0/16 dev lo table local", "ip -6 route del local fdff:1::/112 dev lo table local",
		"ip route flush table 7476", "ip -6 rule del pref 32000",
		"nft delete table inet tombolo",
	}
	if f.backend == v1alpha1.BackendIPVS {
		damage = append(damage, "ipvsadm -D -t 244.0.0.1:80", "ipvsadm -E -u [fdff:1::1]:53 -s rr")
		for _, name := range oursSysctls {
			f.site.worker.Sysctl(name, "0")
		}
	} else {
		damage = append(damage, "nft flush chain inet tombolo-services prerouting")
	}
	for _, command := range damage {
		args := strings.Fields(command)
		f.site.worker.Run(args[0], args[1:]...)
	}
	parts := []string{"services", "filter", "routes"}
	before := map[string]float64{}
	for _, part := range parts {
		before[part] = f.repaired(part)
	}
	f.pass(everything)
	f.whole("damage", want)
	for _, part := range parts {
		if f.repaired(part) == before[part] {
			f.t.Errorf("no repair of the %s was counted", part)
		}
	}
	if f.backend == v1alpha1.BackendIPVS {
		f.mendsDestination()
	}
}

// mendsDestination: a destination is found out about in turn, a few services in every repair.
func (f *siteFixture) mendsDestination() {
	f.t.Helper()
	served := f.site.virtualServices()
	f.site.worker.Run("ipvsadm", "-d", "-u", "[fdff:1::1]:53", "-r", "[fd00:1::11]:8053")
	for deadline := time.Now().Add(limit); time.Now().Before(deadline) && !slices.Equal(served, f.site.virtualServices()); {
		f.pass(services)
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
	f.pass(everything)
	f.restart()
	f.pass(none)
	f.pass(everything)
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
	f.pass(everything)
}

// mendsWhileRunning: the agent's own loop, without being told.
func (f *siteFixture) mendsWhileRunning(want []string) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error, 1)
	go f.site.worker.Do(func() { done <- f.agent.Run(ctx) })
	defer func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("Run: %v", err)
		}
	}()
	before := f.repaired("services")
	if f.backend == v1alpha1.BackendIPVS {
		for _, line := range f.site.virtualServices() {
			if args := strings.Fields(line); args[0] == "-A" {
				f.site.worker.Run("ipvsadm", "-D", args[1], args[2])
			}
		}
	} else {
		f.site.worker.Run("nft", "delete", "table", "inet", "tombolo-services")
	}
	begin := time.Now()
	for deadline := begin.Add(limit); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if f.repaired("services") > before && said(f.site.pod, "tcp", ipv4.to(1, 80)) != "refused" {
			break
		}
	}
	f.t.Logf("mended %s after the damage was done", time.Since(begin))
	f.whole("a loss of all virtual services while the agent runs", want)
}

// mendsFlush: somebody flushes everything.
func (f *siteFixture) mendsFlush(want []string) {
	f.t.Helper()
	f.site.worker.Run("nft", "flush", "ruleset")
	f.site.worker.Run("ipvsadm", "-C")
	f.pass(everything)
	f.whole("nft flush ruleset and ipvsadm -C", want)
	f.site.masquerade()
	f.quiet()
}
