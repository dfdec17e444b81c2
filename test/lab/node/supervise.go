package node

import (
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Restarts of a component that ends: the pause doubles from the first to the
// last, and starts over once the component has run for stableAfter.
const (
	firstPause  = 500 * time.Millisecond
	lastPause   = 15 * time.Second
	stableAfter = time.Minute
	// stopGrace is how long a component may take to end when the node does.
	stopGrace = 2 * time.Second
)

// component is a program that a node keeps running.
type component struct {
	name string
	// before returns once the component can start; optional.
	before func(context.Context) error
	// ready returns nil once it serves; optional.
	ready func(context.Context) error
	path  string
	args  []string
	env   []string // in addition to componentEnv
}

// supervisor keeps components running. It is safe for concurrent use.
type supervisor struct {
	cfg    Config
	log    *slog.Logger
	status *statusBoard
	tasks  sync.WaitGroup
}

func newSupervisor(cfg Config, log *slog.Logger, status *statusBoard) *supervisor {
	return &supervisor{cfg: cfg, log: log, status: status}
}

// wait returns when everything that was started has ended.
func (s *supervisor) wait() { s.tasks.Wait() }

// start runs c until ctx ends.
func (s *supervisor) start(ctx context.Context, c component) {
	s.goRetry(ctx, c.name, func(ctx context.Context) error { return s.runOnce(ctx, c) })
}

// goRetry calls f until it returns nil or ctx ends, with a growing pause.
func (s *supervisor) goRetry(ctx context.Context, name string, f func(context.Context) error) {
	s.tasks.Go(func() {
		pause := firstPause
		for {
			begin := time.Now()
			err := f(ctx)
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				s.status.set(name, StateDone, nil)
				return
			}
			if time.Since(begin) > stableAfter {
				pause = firstPause
			}
			s.log.Error("component ended", "component", name, "error", err, "ran", time.Since(begin), "pause", pause)
			s.status.set(name, StateFailed, err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			pause = min(2*pause, lastPause)
		}
	})
}

// runOnce runs c once and returns why it ended.
func (s *supervisor) runOnce(ctx context.Context, c component) error {
	s.status.set(c.name, StateWaiting, nil)
	if c.before != nil {
		if err := c.before(ctx); err != nil {
			return err
		}
	}
	logFile, err := openLog(s.cfg, c.name)
	if err != nil {
		return err
	}
	defer logFile.Close()
	cmd := exec.CommandContext(ctx, c.path, c.args...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.Env = append(componentEnv(s.cfg), c.env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", c.name, err)
	}
	s.status.set(c.name, StateStarted, nil)
	s.log.Info("component started", "component", c.name, "pid", cmd.Process.Pid)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.watchReady(ctx, c)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return fmt.Errorf("%s: ended with exit code 0", c.name)
}

// watchReady notes when c serves.
func (s *supervisor) watchReady(ctx context.Context, c component) {
	if c.ready != nil && poll(ctx, c.ready) != nil {
		return
	}
	s.status.set(c.name, StateReady, nil)
	s.log.Info("component is ready", "component", c.name)
}

// pollInterval is how often a node looks whether something that gives no sign
// is there.
const pollInterval = 50 * time.Millisecond

// poll calls f until it returns nil, or ctx ends.
func poll(ctx context.Context, f func(context.Context) error) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-ticker.C:
		}
	}
}

// componentEnv is the environment of everything that runs on the node.
func componentEnv(cfg Config) []string {
	return []string{"PATH=" + searchPath(cfg), "HOME=/root", "NODE_NAME=" + cfg.Name}
}

// systemPath is where the host's programs are.
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// searchPath is the node's PATH: the test binaries before the host's programs.
func searchPath(cfg Config) string { return cfg.Bin + ":" + systemPath }
