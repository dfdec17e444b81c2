package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/tombolo-net/tombolo/test/lab/kernel/guest"
)

// Main is PID 1 of a node: it brings up everything that the Config in the JSON
// file at path asks for, keeps it running, and powers off when the control API
// is told to. It does not return.
func Main(path string) {
	if err := run(path); err != nil {
		fmt.Fprintln(os.Stderr, "lab: node ends:", err)
	}
	guest.PowerOff()
}

func run(path string) error {
	cfg, err := Read(path)
	if err != nil {
		return err
	}
	if err := enterRoot(cfg); err != nil {
		return err
	}
	if err := os.Setenv("PATH", searchPath(cfg)); err != nil { // for what this process itself looks up
		return fmt.Errorf("setting PATH: %w", err)
	}
	logFile, err := openLog(cfg, "init")
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(io.MultiWriter(logFile, os.Stderr), nil))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go guest.Reap(ctx)
	n := &node{cfg: cfg, log: log, status: newStatus()}
	if err := n.setUp(); err != nil {
		log.Error("node is not usable", "error", err)
		return err
	}
	return n.serve(ctx)
}

// node is the running node.
type node struct {
	cfg    Config
	log    *slog.Logger
	status *statusBoard
}

// setUp does what needs no other machine: it is done in tens of milliseconds.
func (n *node) setUp() error {
	if err := errors.Join(
		guest.Prepare(n.cfg.Name),
		guest.WriteBuiltinModules(),
		guest.Sysctl(sysctls),
		writeSystemFiles(n.cfg),
		writeComponentFiles(n.cfg),
	); err != nil {
		return err
	}
	return setUpNetwork(n.cfg)
}

// serve runs the components until the node is told to shut down.
func (n *node) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := newSupervisor(n.cfg, n.log, n.status)
	s.start(ctx, containerd(n.cfg))
	s.start(ctx, kubelet(n.cfg))
	if n.cfg.ProxyMode != ProxyNone {
		s.start(ctx, kubeProxy(n.cfg))
	}
	if n.cfg.CNI == CNICalico {
		for _, f := range n.cfg.families() {
			s.start(ctx, bird(f))
		}
	}
	s.goRetry(ctx, "images", func(ctx context.Context) error { return importImages(ctx, n.cfg) })
	s.goRetry(ctx, "podnet", func(ctx context.Context) error { return runPodNetwork(ctx, n.cfg, n.log, n.status) })
	err := n.serveControl(ctx, cancel)
	cancel()
	s.wait()
	return err
}

// openLog opens the log of a component, in the node's folder on the host.
func openLog(cfg Config, component string) (*os.File, error) {
	path := filepath.Join(cfg.Dir, LogDir, component+".log")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("making the folder of logs: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", component, err)
	}
	return f, nil
}
