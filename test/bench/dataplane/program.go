package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/test/bench/figures"
	"github.com/tombolo-net/tombolo/test/bench/guest"
	"github.com/tombolo-net/tombolo/test/bench/resources"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

const (
	// programInterval is how often the kernel is looked at while it is programmed.
	programInterval = 20 * time.Millisecond
	// changeLimit ends the changes of a subject that takes seconds for each.
	changeLimit = 45 * time.Second
)

// program starts the subject among the services. How long it takes to bring the kernel in step once
// it has read them is its own account. What we see of it is the time from when it asks for them to
// the last one in the kernel, which is mostly that of reading and decoding twice as many objects,
// where a look at the clock takes 40 microseconds.
func (m *measurement) program(ctx context.Context) error {
	wait := m.profiling(ctx, "profile?seconds=20", "programming")
	defer wait()
	last := m.subject.vip(m.services[len(m.services)-1].index)
	watched := m.watch(last)
	starting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := m.subject.start(starting, m.services); err != nil {
		_, _ = watched()
		return err
	}
	ready := time.Now()
	changed, err := watched()
	if err != nil {
		return err
	}
	if err := m.table.check(ctx, m.subject.vip, m.services); err != nil {
		return fmt.Errorf("it said that all is programmed: %w", err)
	}
	end := ready
	if _, sorted := m.subject.(*agent); sorted || m.Subject == proxyNFTables {
		end = changed // the last service is the last one written, or all come at once
	}
	spent, err := m.subject.spent(ctx)
	if err != nil {
		return err
	}
	guest.Progress("%s: ready %s after it began to read, the last change after %s", m.Subject,
		ready.Sub(m.subject.known()).Round(time.Millisecond), changed.Sub(m.subject.known()).Round(time.Millisecond))
	return errors.Join(
		m.add(m.named("program_%d_vips_s"), spent.Seconds(), "s"),
		m.add(m.named("start_%d_vips_s"), end.Sub(m.subject.known()).Seconds(), "s"),
	)
}

// named is a figure's name with the number of services.
func (m *measurement) named(format string) string { return fmt.Sprintf(format, len(m.services)) }

// watch looks at what serves a virtual IP until the returned function is called. That returns when
// it last changed.
func (m *measurement) watch(vip netip.Addr) (end func() (time.Time, error)) {
	stop, done := make(chan struct{}), make(chan struct{})
	var changed time.Time
	var err error
	go func() {
		defer close(done)
		before := ""
		for {
			var now string
			if now, err = m.table.stamp(vip); err != nil {
				return
			}
			if now != before {
				before, changed = now, time.Now()
			}
			select {
			case <-stop:
				return
			case <-time.After(programInterval):
			}
		}
	}()
	return func() (time.Time, error) {
		time.Sleep(2 * programInterval) // one more look
		close(stop)
		<-done
		return changed, err
	}
}

// change replaces one endpoint of one service, again and again: from the object to the kernel.
func (m *measurement) change(ctx context.Context) error {
	n := 200
	if m.subject.pause() > 0 || m.Quick {
		n = 10
	}
	wait := m.profiling(ctx, "profile?seconds=5", "change")
	defer wait()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runsNFT := m.Subject == proxyNFTables // the agent writes by netlink
	var took, alone []time.Duration
	for i, start := 0, time.Now(); i < n && time.Since(start) < changeLimit; i++ {
		s := &m.services[i*len(m.services)/n]
		time.Sleep(m.subject.pause())
		elapsed, err := m.changeOne(ctx, s)
		if err != nil {
			return err
		}
		took = append(took, elapsed)
		if runsNFT {
			elapsed, err := runNFT(ctx)
			if err != nil {
				return err
			}
			alone = append(alone, elapsed)
		}
	}
	p50, p99 := figures.Quantile(took, 0.5), figures.Quantile(took, 0.99)
	errs := []error{
		m.add(m.named("change_one_of_%d_vips_ms"), figures.Milliseconds(p50), "ms"),
		m.add(m.named("change_one_of_%d_vips_p99_ms"), figures.Milliseconds(p99), "ms"),
	}
	if runsNFT {
		run := figures.Quantile(alone, 0.5)
		errs = append(errs, m.add("nft_run_ms", figures.Milliseconds(run), "ms"),
			m.add(m.named("change_one_of_%d_vips_net_of_nft_ms"), figures.Milliseconds(max(0, p50-run)), "ms"))
	}
	return errors.Join(errs...)
}

// changeOne gives a service's first endpoint another address.
func (m *measurement) changeOne(ctx context.Context, s *service) (time.Duration, error) {
	s.endpoints = append(s.endpoints[1:len(s.endpoints):len(s.endpoints)], endpoint(s.index, room-1))
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	wait, err := m.table.await(ctx, m.subject.vip(s.index))
	if err != nil {
		return 0, err
	}
	var changed time.Time
	ended := make(chan error)
	go func() {
		var err error
		changed, err = wait()
		ended <- err
	}()
	began := time.Now()
	err = errors.Join(m.subject.put(*s), <-ended)
	return changed.Sub(began), err
}

// unobtrusively makes this goroutine compute only while nobody else has anything to do: there is
// one CPU, and who looks on must not take it from who is looked at. The goroutine must end soon
// after, and its thread with it.
func unobtrusively() error {
	runtime.LockOSThread() // and never unlock, so that nobody else inherits it
	idle := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}
	if err := unix.SchedSetAttr(0, &idle, 0); err != nil {
		return fmt.Errorf("asking for idle time only: %w", err)
	}
	return nil
}

// runNFT is how long nft takes to run with next to nothing to do.
func runNFT(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	_, err := shell.Run(ctx, "add table inet bench\ndelete table inet bench\n", "nft", "-f", "-")
	return time.Since(began), err
}

// idle measures the process when nothing happens, once it has had time to calm down.
func (m *measurement) idle(ctx context.Context) error {
	calm, window := 5*time.Second, 30*time.Second
	if m.Quick {
		calm, window = time.Second, 10*time.Second
	}
	time.Sleep(calm)
	wait := m.profiling(ctx, fmt.Sprintf("profile?seconds=%d", int(window.Seconds())), "idle")
	before, err := resources.CPU(m.subject.pid())
	if err != nil {
		return err
	}
	began := time.Now()
	time.Sleep(window)
	after, err := resources.CPU(m.subject.pid())
	if err != nil {
		return err
	}
	elapsed := time.Since(began)
	wait()
	resident, peak, err := resources.Memory(m.subject.pid())
	if err != nil {
		return err
	}
	m.profiling(ctx, "heap?gc=1", "idle")()
	return errors.Join(
		m.add("agent_idle_cpu_percent", 100*(after-before).Seconds()/elapsed.Seconds(), "%"),
		m.add(m.named("agent_rss_%d_vips_mb"), resident/1e6, "MB"),
		m.add(m.named("agent_rss_peak_%d_vips_mb"), peak/1e6, "MB"),
	)
}

// grow gives every service four endpoints more, all at once, until the agent says that it serves
// them, and checks them all then: 100,000 where there are 5,000 services. kube-proxy does not say.
func (m *measurement) grow(ctx context.Context) error {
	a, ok := m.subject.(*agent)
	if !ok {
		return nil
	}
	endpoints := 0
	for i := range m.services {
		s := &m.services[i]
		for n := len(s.endpoints); n < 20; n++ {
			s.endpoints = append(s.endpoints, endpoint(s.index, n))
		}
		endpoints += len(s.endpoints)
	}
	began := time.Now()
	if err := a.put(m.services...); err != nil {
		return err
	}
	if err := guest.Eventually(ctx, patience, readyInterval, func() error { return a.serves(ctx, endpoints) }); err != nil {
		return err
	}
	took := time.Since(began)
	if err := m.table.check(ctx, a.vip, m.services); err != nil {
		return fmt.Errorf("it said that all is programmed: %w", err)
	}
	return m.add(fmt.Sprintf("grow_to_%d_endpoints_s", endpoints), took.Seconds(), "s")
}
