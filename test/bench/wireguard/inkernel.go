package wireguard

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tombolo-net/tombolo/test/bench/figures"
	"github.com/tombolo-net/tombolo/test/bench/guest"
	"github.com/tombolo-net/tombolo/test/bench/resources"
)

// Inside is what is measured in the kernel that this process runs in.
type Inside struct {
	// Self is the path of this program.
	Self string // required
	// Quick is that of Config.
	Quick bool
	// Kinds are those that are measured.
	Kinds []string // optional, default all that Kinds returns
	// Emit gets each figure as soon as it is known.
	Emit func(figures.Figure) error // required
}

// Who serves the devices, as figures' names end.
const kindKernel, kindUserspace = "kernel", "userspace"

// Kinds are who may serve the devices.
func Kinds() []string { return []string{kindKernel, kindUserspace} }

// samples of one kind.
type samples struct {
	throughput []float64 // Mbit/s
	gaps       []time.Duration
	// idle and peak are the memory of the process of node a, in bytes.
	idle, peak float64
}

const megabyte = 1e6

// InKernel measures; it takes the kernel for its own.
func InKernel(ctx context.Context, in Inside) error {
	if err := makeSite(ctx); err != nil {
		return err
	}
	rounds := 5
	if in.Quick {
		rounds = 2
	}
	found := map[string]*samples{}
	for round := range rounds {
		for _, kind := range in.Kinds {
			s := found[kind]
			if s == nil {
				s = &samples{}
				found[kind] = s
			}
			if err := in.round(ctx, &tunnel{self: in.Self, userspace: kind == kindUserspace}, s); err != nil {
				return fmt.Errorf("round %d with WireGuard in %s: %w", round+1, kind, err)
			}
			guest.Progress("%s: round %d: %.0f Mbit/s, gap %s", kind, round+1, s.throughput[round], s.gaps[len(s.gaps)-1])
		}
	}
	return in.report(found)
}

// round measures one tunnel and removes it.
func (in Inside) round(ctx context.Context, t *tunnel, s *samples) (err error) {
	if err := t.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop(ctx)) }()
	idle, _, err := resources.Memory(t.a.Process.Pid)
	if err != nil {
		return err
	}
	throughput, err := in.throughput(ctx)
	if err != nil {
		return err
	}
	_, peak, err := resources.Memory(t.a.Process.Pid)
	if err != nil {
		return err
	}
	s.throughput, s.idle, s.peak = append(s.throughput, throughput), max(s.idle, idle), max(s.peak, peak)
	for range 3 {
		gap, err := t.restart(ctx)
		if err != nil {
			return err
		}
		s.gaps = append(s.gaps, gap)
	}
	return nil
}

// throughput of one TCP stream from a to b, in Mbit/s.
func (in Inside) throughput(ctx context.Context) (float64, error) {
	seconds := 6
	if in.Quick {
		seconds = 3
	}
	_, b := nodes()
	serving, stop := context.WithCancel(ctx)
	served := make(chan struct{})
	go func() {
		defer close(served)
		// It is stopped, and says so. If it fails, the client says why.
		_, _ = guest.RunInside(serving, "b", "iperf3", "--server", "--bind", b.address.String())
	}()
	defer func() { stop(); <-served }()
	var throughput float64
	err := guest.Eventually(ctx, patience, interval, func() error {
		report, err := guest.RunInside(ctx, "a", "iperf3", "--client", b.address.String(), "--time", strconv.Itoa(seconds), "--omit", "1", "--json")
		if err != nil {
			return err
		}
		throughput, err = figures.Received(report)
		if err == nil && throughput == 0 { // iperf3 may exit with 0 if it was refused
			err = fmt.Errorf("nothing was received: %s", report)
		}
		return err
	})
	return throughput, err
}

// restart kills the process that serves a's device, starts another, and returns how long packets
// were lost.
func (t *tunnel) restart(ctx context.Context) (time.Duration, error) {
	a, _ := nodes()
	return stream(ctx, func() (err error) {
		time.Sleep(300 * time.Millisecond)
		kill(t.a)
		if t.a, err = t.serve(a); err != nil {
			return err
		}
		time.Sleep(time.Second) // also a tunnel that never stopped is looked at for a while
		return guest.Eventually(ctx, patience, interval, answers)
	})
}

func (in Inside) report(found map[string]*samples) error {
	var list figures.List
	for _, kind := range in.Kinds {
		s := found[kind]
		list = append(list,
			figures.Figure{Name: "wireguard_throughput_mbit_" + kind, Value: figures.Quantile(s.throughput, 0.5), Unit: "Mbit/s"},
			figures.Figure{Name: "wireguard_restart_gap_p50_ms_" + kind, Value: figures.Milliseconds(figures.Quantile(s.gaps, 0.5)), Unit: "ms"},
			figures.Figure{Name: "wireguard_restart_gap_max_ms_" + kind, Value: figures.Milliseconds(figures.Quantile(s.gaps, 1)), Unit: "ms"},
			figures.Figure{Name: "wireguard_memory_idle_mb_" + kind, Value: s.idle / megabyte, Unit: "MB"},
			figures.Figure{Name: "wireguard_memory_peak_mb_" + kind, Value: s.peak / megabyte, Unit: "MB"},
		)
	}
	if u, k := found[kindUserspace], found[kindKernel]; u != nil && k != nil {
		list = append(list, figures.Figure{Name: "wireguard_userspace_throughput_ratio", Value: ratio(u.throughput, k.throughput), Unit: "of the kernel's"})
	}
	var errs []error
	for _, f := range list {
		errs = append(errs, in.Emit(f))
	}
	return errors.Join(errs...)
}

// ratio is the median of the ratios of each round.
func ratio(over, under []float64) float64 {
	var ratios []float64
	for i := range min(len(over), len(under)) {
		ratios = append(ratios, over[i]/under[i])
	}
	return figures.Quantile(ratios, 0.5)
}
