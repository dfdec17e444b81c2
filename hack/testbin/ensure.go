package testbin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config says what Ensure does and how it shows it.
type Config struct {
	Tree     string    // required: this package's folder, with those that pin the sources; it is only read
	Cache    string    // optional, default CacheDir
	Set      string    // optional, default DefaultSet
	Names    []string  // optional, default every program of the set
	Seed     string    // optional, default none: a folder with VERSIONS and testbin.tar.xz
	Parallel int       // optional, default the number of CPUs: compilers at once
	Out      io.Writer // optional, default nowhere: progress for a person
	Terminal bool      // optional: Out is a terminal
}

// Ensure makes sure that the programs are in the cache and whole: it reads
// each one's SHA-256, takes what a seed offers and fits, builds what is still
// missing from source, and returns the folder that SetDir returns. Runs at the
// same time wait for each other. It tries every program; the error joins those
// that could not be built.
func Ensure(ctx context.Context, cfg Config) (string, error) {
	recipes, err := pinnedRecipes(cfg.Set)
	if err != nil {
		return "", err
	}
	if cfg.Cache == "" {
		if cfg.Cache, err = CacheDir(); err != nil {
			return "", err
		}
	}
	s := newStore(cfg.Cache, recipes)
	if err := newRun(s, cfg).ensure(ctx); err != nil {
		return "", err
	}
	return s.setDir, nil
}

// run is one pass over a store.
type run struct {
	store    *store
	cfg      Config
	progress *progress

	mu sync.Mutex // held while a lane writes to the store what it has built
}

func newRun(s *store, cfg Config) *run {
	if cfg.Out == nil {
		cfg.Out = io.Discard
	}
	if cfg.Parallel < 1 {
		cfg.Parallel = runtime.NumCPU()
	}
	return &run{store: s, cfg: cfg, progress: &progress{out: cfg.Out, tty: cfg.Terminal}}
}

func (u *run) ensure(ctx context.Context) (err error) {
	wanted, err := choose(u.store.recipes, u.cfg.Names)
	if err != nil {
		return err
	}
	release, err := u.lock(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := u.emptyTmp(); err != nil {
		return err
	}
	defer os.RemoveAll(u.store.tmpDir())
	start := time.Now()
	missing, err := u.check(ctx, wanted)
	if err != nil {
		return err
	}
	if len(missing) > 0 && u.cfg.Seed != "" {
		if missing, err = u.seed(ctx, missing); err != nil {
			return err
		}
	}
	if err := u.buildAll(ctx, missing); err != nil {
		return err
	}
	u.progress.say("%d of %d programs ready in %s (%s)", len(wanted), len(u.store.recipes),
		u.store.setDir, time.Since(start).Round(100*time.Millisecond))
	return nil
}

// choose returns the recipes with the given names, in the recipes' order, or
// all of them if there are no names.
func choose(recipes []recipe, names []string) ([]recipe, error) {
	if len(names) == 0 {
		return recipes, nil
	}
	var chosen []recipe
	known := make([]string, 0, len(recipes))
	for _, r := range recipes {
		known = append(known, r.name)
		if slices.Contains(names, r.name) {
			chosen = append(chosen, r)
		}
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("no program is called %q; there are %s", name, strings.Join(known, ", "))
		}
	}
	return chosen, nil
}

// lock takes the store, and says so once if it has to wait for another run.
func (u *run) lock(ctx context.Context) (func() error, error) {
	var waiting *step
	release, err := u.store.lock(ctx, func(pid string) {
		if waiting == nil {
			waiting = u.progress.begin("another run", "waiting for process "+pid+" to finish with the cache", 0)
		}
	})
	if waiting != nil {
		waiting.end()
	}
	return release, err
}

// emptyTmp removes what an earlier run left half-done.
func (u *run) emptyTmp() error {
	tmp := u.store.tmpDir()
	return errors.Join(os.RemoveAll(tmp), os.MkdirAll(tmp, 0o755))
}

// check verifies every wanted entry in full, publishes the good ones and
// returns those that must be made again.
func (u *run) check(ctx context.Context, wanted []recipe) ([]recipe, error) {
	var missing []recipe
	for _, r := range wanted {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		_, err := u.store.verify(r)
		if err == nil {
			if err := u.store.publish(r); err != nil {
				return nil, fmt.Errorf("publishing %s: %w", r.name, err)
			}
			continue
		}
		if !errors.Is(err, errNoEntry) {
			u.progress.say("%v: making it again", err)
		}
		if err := u.store.withdraw(r); err != nil {
			return nil, fmt.Errorf("withdrawing %s: %w", r.name, err)
		}
		missing = append(missing, r)
	}
	return missing, nil
}

// seed takes what fits from the seed and returns what is still missing. A bad
// seed is not an error: it costs time, not correctness.
func (u *run) seed(ctx context.Context, missing []recipe) ([]recipe, error) {
	st := u.progress.begin("ready-made copies", "unpacking from "+u.cfg.Seed, 10*time.Second)
	taken, err := u.store.seed(ctx, u.cfg.Seed, missing, u.progress.say)
	took := st.end()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		u.progress.say("what the copies lack is built from source: %v", err)
	}
	var left []recipe
	for _, r := range missing {
		if !slices.Contains(taken, r.name) {
			left = append(left, r)
			continue
		}
		if err := u.store.publish(r); err != nil {
			return nil, fmt.Errorf("publishing %s: %w", r.name, err)
		}
	}
	u.progress.say("took %d ready-made copies of %d missing programs (%s)", len(taken), len(missing), short(took))
	return left, nil
}

// buildAll builds each recipe, also after one has failed. Lanes run at the same
// time: while Go links and the kernel is unpacked, the other one uses the cores.
func (u *run) buildAll(ctx context.Context, missing []recipe) error {
	var total time.Duration
	lanes := map[string][]recipe{}
	for _, r := range missing {
		total += r.usual
		lanes[r.lane] = append(lanes[r.lane], r)
	}
	if len(missing) > 1 {
		u.progress.say("building %d programs from source, usually %s in all", len(missing), short(total))
	}
	var wg sync.WaitGroup
	failed := make(chan error, len(lanes))
	for _, lane := range lanes {
		wg.Go(func() { failed <- u.buildLane(ctx, lane) })
	}
	wg.Wait()
	close(failed)
	var all error
	for err := range failed {
		all = errors.Join(all, err)
	}
	return all
}

// buildLane builds one recipe after another, also after one has failed.
func (u *run) buildLane(ctx context.Context, lane []recipe) error {
	var failed error
	for _, r := range lane {
		if err := u.buildOne(ctx, r); err != nil {
			failed = errors.Join(failed, fmt.Errorf("building %s %s: %w", r.name, r.version, err))
			if ctx.Err() != nil {
				return failed
			}
			u.progress.say("%s %s: not built", r.name, r.version)
		}
	}
	return failed
}

// buildOne builds r in a temporary folder and puts it into the store.
func (u *run) buildOne(ctx context.Context, r recipe) error {
	log, err := u.openLog(r)
	if err != nil {
		return err
	}
	defer log.Close()
	work, err := os.MkdirTemp(u.store.tmpDir(), "build-"+r.name+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	st := u.progress.begin(r.name+" "+r.version, "building from source", r.usual)
	j := job{tree: u.cfg.Tree, work: work, out: filepath.Join(work, r.name), parallel: u.cfg.Parallel,
		log: log, phase: st.setPhase}
	version, err := r.builder.build(ctx, j)
	took := st.end()
	if err != nil {
		return fmt.Errorf("%w\nthe whole output is in %s", err, log.Name())
	}
	if version != r.version {
		u.progress.say("%s: the pinned %s is not to be had, built %s instead", r.name, r.version, version)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	rec := record{Version: version, Origin: originBuilt, Took: short(took), Added: time.Now().UTC()}
	if err := u.store.put(r, j.out, rec); err != nil {
		return err
	}
	u.progress.say("%s %s: built in %s", r.name, version, short(took))
	return u.store.publish(r)
}

// openLog starts a new log for r's build, which stays after the run.
func (u *run) openLog(r recipe) (*os.File, error) {
	dir := filepath.Join(u.store.root, "logs")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return os.Create(filepath.Join(dir, r.name+".log"))
}
