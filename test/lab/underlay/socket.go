package underlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
)

// Listen makes a port whose machine connects to the unix socket at path, with one Ethernet frame
// per message (SOCK_SEQPACKET): vec0:transport=bess,dst=PATH on a user-mode kernel's command line.
// The socket is there when Listen returns; frames flow once the port's Serve runs. A machine that
// connects again takes the place of its former self. A stale socket at path is replaced; the socket
// goes when Serve ends. A path has at most 107 bytes.
func (s *Switch) Listen(name, path string) (*Port, error) {
	p, err := s.add(name)
	if err != nil {
		return nil, err
	}
	if err := removeSocket(path); err != nil {
		return nil, fmt.Errorf("listening for port %q: %w", name, err)
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, fmt.Errorf("listening for port %q: %w", name, err)
	}
	p.serve = func(ctx context.Context) error { return p.acceptAll(ctx, l) }
	return p, nil
}

// removeSocket removes the socket at path. A missing socket is success.
func removeSocket(path string) error {
	stat, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if stat.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s exists and is not a socket", path)
	}
	return os.Remove(path)
}

// acceptAll attends to one connection after the other until ctx ends.
func (p *Port) acceptAll(ctx context.Context, l *net.UnixListener) error {
	defer l.Close()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var attending sync.WaitGroup
	defer attending.Wait()
	leave := func() {}
	defer func() { leave() }()
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return fmt.Errorf("accepting: %w", err)
		}
		leave()
		attending.Wait()
		w, err := newSocketWire(conn)
		if err != nil {
			conn.Close()
			return err
		}
		attendCtx, cancel := context.WithCancel(ctx)
		leave = cancel
		// That a connection ends, however it does, is a machine that went away.
		attending.Go(func() { _ = p.attend(attendCtx, w) })
	}
}
