package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tombolo-net/tombolo/test/lab"
)

// upCommand returns `lab up`, which starts a lab that stays.
func upCommand() *cobra.Command {
	var o lab.Options
	var name string
	c := &cobra.Command{
		Use:   "up [flags]",
		Short: "Start a lab that stays until lab down",
		Long: `Starts a lab in the background and returns when it is ready. Several labs run side by side under names of
their own.`,
		Example: `  lab up
  lab shell                       # kubectl --context east ...
  lab net cut east-1 west-1
  lab down

  lab up --name big --clusters 3 --nodes 3 --proxy-mode nftables`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return up(cmd, name, o)
		},
	}
	c.Flags().StringVar(&name, "name", defaultName, "the lab's name")
	topologyFlags(c.Flags(), &o)
	return c
}

// up starts `lab serve` and waits until its lab is ready.
func up(cmd *cobra.Command, name string, o lab.Options) error {
	link, err := linkOf(name)
	if err != nil {
		return err
	}
	if err := claim(link, name); err != nil {
		return err
	}
	if o.Dir, err = os.MkdirTemp("", "tombolo-lab-"); err != nil {
		return fmt.Errorf("making run folder: %w", err)
	}
	server, err := startServer(o, link)
	if err != nil {
		return errors.Join(err, os.RemoveAll(o.Dir))
	}
	if err := server.waitReady(cmd.Context(), cmd.ErrOrStderr()); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), upText, name, o.Dir)
	return nil
}

const upText = `Lab %q is up. Its run folder is %[2]s.
  lab shell                                         a shell with kubectl's contexts set
  export KUBECONFIG=%[2]s/kubeconfig
  lab node list | lab net --help | lab down
`

// claim makes sure that no lab runs under the name.
func claim(link, name string) error {
	dir, err := os.Readlink(link)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("finding lab %q: %w", name, err)
	}
	if lab.Alive(dir) {
		return fmt.Errorf("lab %q runs already: lab shell --name %[1]s, lab down --name %[1]s, or another --name", name)
	}
	return os.Remove(link) // of one that was killed
}

// server is a `lab serve` that was started.
type server struct {
	dir    string
	log    string // path
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended
	err    error         // to be read after exited is closed
}

// startServer starts `lab serve` in a session of its own.
func startServer(o lab.Options, link string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding lab's own program: %w", err)
	}
	options, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encoding options: %w", err)
	}
	s := &server{dir: o.Dir, log: filepath.Join(o.Dir, "lab.log"), exited: make(chan struct{})}
	log, err := os.Create(s.log)
	if err != nil {
		return nil, fmt.Errorf("making log: %w", err)
	}
	defer log.Close() // the child has its own descriptor
	s.cmd = exec.Command(self, "serve", "--link", link)
	s.cmd.Stdin = bytes.NewReader(options)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting lab in the background: %w", err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	return s, nil
}

// waitReady returns when the lab is ready, copying its log to out. When ctx ends it ends the lab.
func (s *server) waitReady(ctx context.Context, out io.Writer) error {
	log, err := os.Open(s.log)
	if err != nil {
		return fmt.Errorf("opening log: %w", err)
	}
	defer log.Close() // it is only read
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			_ = s.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
			<-s.exited
			return context.Cause(ctx)
		case <-s.exited:
			_, _ = io.Copy(out, log) // the log's last lines are the reason
			return fmt.Errorf("the lab ended before it was ready (%v)", s.err)
		case <-tick.C:
		}
		if _, err := io.Copy(out, log); err != nil {
			return fmt.Errorf("reading log: %w", err)
		}
		if ready(ctx, s.dir) {
			return nil
		}
	}
}

func ready(ctx context.Context, dir string) bool {
	l, err := lab.Connect(dir)
	if err != nil {
		return false
	}
	s, err := l.Status(ctx)
	return err == nil && s.Ready
}

// serveCommand returns `lab serve`, which is the lab that `lab up` starts.
func serveCommand() *cobra.Command {
	var link string
	c := &cobra.Command{
		Use:    "serve",
		Short:  "Run the lab whose options are on the standard input, as JSON; lab up starts this",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var o lab.Options
			if err := json.NewDecoder(cmd.InOrStdin()).Decode(&o); err != nil {
				return fmt.Errorf("reading options: %w", err)
			}
			o.Progress = cmd.ErrOrStderr()
			return serve(cmd.Context(), o, link)
		},
	}
	c.Flags().StringVar(&link, "link", "", "where to make a symbolic link to the run folder")
	return c
}

func serve(ctx context.Context, o lab.Options, link string) (err error) {
	if err := adoptOrphans(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, endOrphans()) }()
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return fmt.Errorf("making folder of running labs: %w", err)
	}
	if err := os.Symlink(o.Dir, link); err != nil {
		return fmt.Errorf("naming the lab: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(link)) }()
	l, err := lab.Up(ctx, o)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return l.Down(false)
}

// downCommand returns `lab down`.
func downCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "down",
		Short: "End a lab that lab up has started",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := runDir(name)
			if err != nil {
				return err
			}
			return down(cmd.Context(), dir, name)
		},
	}
	nameFlag(c, &name)
	return c
}

// down ends the lab in dir. One that was killed has left its run folder and its name behind: they
// go.
func down(ctx context.Context, dir, name string) error {
	if !lab.Alive(dir) {
		return errors.Join(lab.Remove(dir), unlink(dir, name))
	}
	l, err := lab.Connect(dir)
	if err != nil {
		return err
	}
	if err := l.Down(ctx); err != nil {
		return err
	}
	if _, err := os.Stat(dir); err == nil {
		return fmt.Errorf("the lab did not end well; see %s", dir)
	}
	return nil
}

// unlink takes the name from the run folder dir, if it has it.
func unlink(dir, name string) error {
	link, err := linkOf(name)
	if err != nil {
		return err
	}
	if to, err := os.Readlink(link); err != nil || to != dir {
		return nil //nolint:nilerr // the name is gone or does not belong to this lab
	}
	return os.Remove(link)
}
