package wireguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// tunnel is the two nodes with devices of one kind, each made by a process of its own.
type tunnel struct {
	self      string
	userspace bool
	a, b      *exec.Cmd
}

// patience is how long a step may take.
const patience = 30 * time.Second

// start makes the tunnel, and returns when it carries packets.
func (t *tunnel) start(ctx context.Context) (err error) {
	a, b := nodes()
	if t.b, err = t.serve(b); err != nil {
		return err
	}
	if t.a, err = t.serve(a); err != nil {
		return err
	}
	for _, n := range []node{a, b} {
		err := eventually(ctx, func() error {
			_, err := shell.Run(ctx, "", "ip", "-n", n.name, "route", "replace", n.peer.String(), "dev", n.device)
			return err
		})
		if err != nil {
			return err
		}
	}
	return eventually(ctx, answers)
}

// serve starts the process that makes the node's device.
func (t *tunnel) serve(n node) (*exec.Cmd, error) {
	cmd := exec.Command(t.self, ServeCommand, n.name, fmt.Sprintf("--userspace=%t", t.userspace))
	cmd.Stderr = os.Stderr
	if err := inside(n.name, cmd.Start); err != nil {
		return nil, fmt.Errorf("starting the process of node %s: %w", n.name, err)
	}
	return cmd, nil
}

// kill kills a process at once and waits until it is gone.
func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // says that it was killed
}

// stop removes the tunnel.
func (t *tunnel) stop(ctx context.Context) error {
	var errs []error
	a, b := nodes()
	for n, cmd := range map[node]*exec.Cmd{a: t.a, b: t.b} {
		kill(cmd)
		_, err := shell.Run(ctx, "", "ip", "-n", n.name, "link", "delete", n.device)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// answers returns an error until b refuses a connection from a through the tunnel.
func answers() error {
	_, b := nodes()
	return inside("a", func() error {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(b.address.String(), "9"), 200*time.Millisecond)
		switch {
		case err == nil:
			return conn.Close()
		case errors.Is(err, unix.ECONNREFUSED):
			return nil
		}
		return err
	})
}

// eventually repeats check until it returns nil, or the patience ends.
func eventually(ctx context.Context, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
