package exchange

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
)

// profile saves one of the operator's profiles, if they are wanted.
func (s *scene) profile(ctx context.Context, what, when string) error {
	if s.Profiles == "" {
		return nil
	}
	kind, _, _ := strings.Cut(what, "?")
	err := errors.Join(os.MkdirAll(s.Profiles, 0o755), s.operator.waitProfiles(ctx))
	if err == nil {
		err = s.operator.saveProfile(ctx, what, filepath.Join(s.Profiles, s.mark+"-"+when+"-"+kind+".pprof"))
	}
	if err != nil {
		progress("%v", err)
	}
	return err
}

// profileCrowd profiles this process, in which the crowd runs, if that is wanted: what it computes
// until the returned function is called, and what is in memory then. It also saves what the API
// servers then say of the requests to them.
func (s *scene) profileCrowd(ctx context.Context, when string) (end func()) {
	if s.Profiles == "" {
		return func() {}
	}
	path := func(kind string) string { return filepath.Join(s.Profiles, s.mark+"-"+when+"-"+kind) }
	err := os.MkdirAll(s.Profiles, 0o755)
	var computed *os.File
	if err == nil {
		computed, err = os.Create(path("crowd-cpu.pprof"))
	}
	if err == nil {
		err = pprof.StartCPUProfile(computed)
	}
	if err != nil {
		progress("profiling the crowd: %v", err)
		return func() {}
	}
	return func() {
		pprof.StopCPUProfile()
		errs := []error{computed.Close(), saveHeap(path("crowd-heap.pprof"))}
		for _, name := range []string{hubName, crowdName} {
			data, err := readMetrics(ctx, unlimited(s.Cluster(name)))
			errs = append(errs, err, os.WriteFile(path(name+"-metrics.txt"), data, 0o644))
		}
		if err := errors.Join(errs...); err != nil {
			progress("profiling the crowd: %v", err)
		}
	}
}

// saveHeap writes to a file what of this process's memory is in use.
func saveHeap(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	runtime.GC() // else it is of some moment before
	return errors.Join(pprof.Lookup("heap").WriteTo(file, 0), file.Close())
}
