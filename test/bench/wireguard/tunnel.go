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

	"github.com/tombolo-net/tombolo/test/bench/guest"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// tunnel is the two nodes with devices of one kind, each made by a process of its own.
type tunnel struct {
	self      string
	userspace bool
	a, b      *exec.Cmd
}

const (
	// patience is how long a step may take.
	patience = 30 * time.Second
	// interval is how often it is looked at.
	interval = 100 * time.Millisecond
)

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
		err := guest.Eventually(ctx, patience, interval, func() error {
			_, err := shell.Run(ctx, "", "ip", "-n", n.name, "route", "replace", n.peer.String(), "dev", n.device)
			return err
		})
		if err != nil {
			return err
		}
	}
	return guest.Eventually(ctx, patience, interval, answers)
}

// serve starts the process that makes the node's device.
func (t *tunnel) serve(n node) (*exec.Cmd, error) {
	cmd := exec.Command(t.self, ServeCommand, n.name, fmt.Sprintf("--userspace=%t", t.userspace))
	cmd.Stderr = os.Stderr
	if err := guest.Inside(n.name, cmd.Start); err != nil {
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
	return guest.Inside("a", func() error {
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
