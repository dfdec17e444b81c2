package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/bench/figures"
	"github.com/tombolo-net/tombolo/test/bench/guest"
	"github.com/tombolo-net/tombolo/test/harness/kubeproxy"
)

// The parts of a subject's measurement, each in a kernel of its own.
const (
	partMany = "many" // all but what partFew is about
	partFew  = "few"  // first packets among few services
)

// Parts are the names of the parts.
func Parts() []string { return []string{partMany, partFew} }

// Inside is what is measured in the kernel that this process runs in.
type Inside struct {
	// Subject is one of Subjects, Part one of Parts.
	Subject, Part string // required
	// Tombolo is the path of the binary.
	Tombolo string // required
	// Quick, Native, Steps and Profiles are those of Config.
	Quick, Native bool
	Steps         []string
	Profiles      string
	// Emit gets each figure as soon as it is known.
	Emit func(figures.Figure) error // required
}

// subject is something that makes the kernel serve Services.
type subject interface {
	// start starts it among those services, and returns when it says that the kernel is in step.
	start(ctx context.Context, all []service) error
	// known is when it began to ask for services and endpoints; they were there then.
	known() time.Time
	// spent is how long it says that it has spent on bringing the kernel in step, since it started.
	spent(ctx context.Context) (time.Duration, error)
	// put adds services or replaces them, and does not wait.
	put(all ...service) error
	// vip is the virtual IP of the service of that index.
	vip(index int) netip.Addr
	// pause is how long after one change the next one is taken at once.
	pause() time.Duration
	pid() int
	stop() error
}

const (
	// readyInterval is how often a subject is asked whether it is done: each question takes time
	// from it.
	readyInterval = 50 * time.Millisecond
	// patience is how long any one step may take.
	patience = 10 * time.Minute
)

// measurement is one part of one subject's.
type measurement struct {
	Inside
	subject subject
	table   table
	// services are those that the subject knows.
	services []service
}

// lookers is how many goroutines of this process may run at once: the API server must not wait for
// who looks at the kernel, which the kernel itself sees to (unobtrusively).
const lookers = 4

// InKernel measures; it takes the kernel for its own.
func InKernel(ctx context.Context, in Inside) error {
	runtime.GOMAXPROCS(lookers)
	if !in.Native {
		if err := touchMemory(); err != nil {
			return err
		}
	}
	if err := makeSite(ctx); err != nil {
		return err
	}
	m := &measurement{Inside: in}
	if err := m.choose(ctx); err != nil {
		return err
	}
	steps := m.many
	if in.Part == partFew {
		steps = m.few
	}
	return errors.Join(steps(ctx), m.subject.stop())
}

// touched is how much memory is touched before anything is measured: more than any subject takes,
// with what it has the kernel take.
const touched = 2 << 30

// touchMemory has the host find memory for this kernel: the first touch of a page may take longer
// than what is measured.
func touchMemory() error {
	pages, err := unix.Mmap(-1, 0, touched, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_POPULATE)
	if err != nil {
		return fmt.Errorf("touching memory: %w", err)
	}
	return unix.Munmap(pages)
}

// choose makes the subject by its name.
func (m *measurement) choose(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	mode, isProxy := strings.CutPrefix(m.Subject, "kubeproxy_")
	if isProxy {
		m.subject = &ordinaryProxy{mode: mode, dir: dir}
	} else {
		ours := &agent{backend: v1alpha1.DataplaneBackend(mode), program: m.Tombolo, profiled: m.Profiles != "", dir: dir}
		if ours.profiled {
			ours.dir = m.Profiles // its log tells more
		}
		m.subject = ours
	}
	switch {
	case mode == kubeproxy.IPVS:
		m.table, err = newIPVSTable(ctx)
	case isProxy:
		m.table = &nftTable{list: []string{"list", "map", "ip", "kube-proxy", "service-ips"}}
	default:
		m.table = &nftTable{list: []string{"list", "map", "inet", "tombolo-services", "slots4"}, slots: true}
	}
	return err
}

func (m *measurement) add(name string, value float64, unit string) error {
	name += "_" + m.Subject
	if m.Native {
		name += "_native"
	}
	return m.Emit(figures.Figure{Name: name, Value: value, Unit: unit})
}

const (
	// fewest is the smallest number of services that is measured.
	fewest = 10
	// endpoints is how many each service has.
	endpoints = 16
)

// counts are the numbers of services that are measured.
func (m *measurement) counts() (many, few int) {
	if m.Quick {
		return 500, 100
	}
	return 5000, 1000
}

// waitChecked returns when all services are as they should be.
func (m *measurement) waitChecked(ctx context.Context) error {
	return guest.Eventually(ctx, patience, time.Second, func() error { return m.table.check(ctx, m.subject.vip, m.services) })
}

// profiling takes a profile of the agent until the returned function is called, if that is wanted.
func (m *measurement) profiling(ctx context.Context, what, when string) (wait func()) {
	a, ok := m.subject.(*agent)
	if m.Profiles == "" || !ok {
		return func() {}
	}
	kind, _, _ := strings.Cut(what, "?")
	file := filepath.Join(m.Profiles, m.Subject+"-"+when+"-"+kind+".pprof")
	done := make(chan error, 1)
	go func() {
		done <- guest.Eventually(ctx, patience, readyInterval, func() error { return a.profile(ctx, what, file) }) // it may not listen yet
	}()
	return func() {
		if err := <-done; err != nil {
			guest.Progress("%v", err)
		}
	}
}
