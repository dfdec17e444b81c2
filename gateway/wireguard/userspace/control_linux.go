package userspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// controlDir is where wg and wgctrl look for control sockets.
const controlDir = "/var/run/wireguard"

// controlTimeout bounds one exchange on a control socket.
const controlTimeout = 10 * time.Second

// listen opens the control socket of the device. Only root may connect to it: it tells the private
// key. A socket that an earlier process left is replaced.
func listen(ctx context.Context, name string) (net.Listener, error) {
	if err := os.MkdirAll(controlDir, 0o755); err != nil {
		return nil, fmt.Errorf("making the folder for control sockets: %w", err)
	}
	path := filepath.Join(controlDir, name+".sock")
	config := net.ListenConfig{Control: ownerOnly}
	listener, err := config.Listen(ctx, "unix", path)
	if errors.Is(err, unix.EADDRINUSE) {
		if conn, err := net.DialTimeout("unix", path, controlTimeout); err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("another process serves %s: end it", path)
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("removing the control socket of a process that has ended: %w", err)
		}
		listener, err = config.Listen(ctx, "unix", path)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the control socket of %s: %w", name, err)
	}
	return listener, nil
}

// ownerOnly sets the mode that the socket's file gets when it is bound (unix_bind in
// net/unix/af_unix.c).
func ownerOnly(_, _ string, c syscall.RawConn) error {
	var modeErr error
	err := c.Control(func(fd uintptr) { modeErr = unix.Fchmod(int(fd), 0o600) })
	return errors.Join(err, modeErr)
}

// serve answers on the control socket until the device ends, by Stop or by an error of its own.
func (r *running) serve() {
	r.serving.Go(func() {
		<-r.wg.Wait()
		_ = r.control.Close()
	})
	r.serving.Go(func() {
		for {
			conn, err := r.control.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(controlTimeout))
			go r.wg.IpcHandle(conn)
		}
	})
}
