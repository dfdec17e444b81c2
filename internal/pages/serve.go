package pages

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
)

// ShutdownTimeout is how long requests may take to end when the process ends.
const ShutdownTimeout = 2 * time.Second

// What a client may take of a process: anybody who reaches its address can be one.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	// writeTimeout leaves time for a profile of a minute.
	writeTimeout = 90 * time.Second
	idleTimeout  = 30 * time.Second
	// headerBytes is as much as a scraper with a token needs.
	headerBytes = 16 << 10
	// connections at one address. More wait.
	connections = 64
)

// NewServer returns a server of the handler. It does not listen yet.
func NewServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytes,
	}
}

// Listen listens at the address for a limited number of connections. Each address has a limit of its
// own, so that who uses up that of one address does not keep probes from another. With a guard,
// other addresses than loopback ones speak TLS.
func Listen(ctx context.Context, address string, guard *Guard) (net.Listener, error) {
	config := net.ListenConfig{Control: freebind}
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serving pages: %w", err)
	}
	listener = netutil.LimitListener(listener, connections)
	if guard == nil || ValidateLoopback(address) == nil {
		return listener, nil
	}
	return tls.NewListener(listener, guard.tls), nil
}

// Serve serves at the addresses until ctx ends, guarded as Listen says.
func Serve(ctx context.Context, handler http.Handler, guard *Guard, addresses ...string) error {
	server := NewServer(handler)
	var listeners []net.Listener
	for _, address := range addresses {
		listener, err := Listen(ctx, address, guard)
		if err != nil {
			for _, l := range listeners {
				l.Close()
			}
			return err
		}
		listeners = append(listeners, listener)
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, listener := range listeners {
		group.Go(func() error {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serving pages on %s: %w", listener.Addr(), err)
			}
			return nil
		})
	}
	stopped := context.AfterFunc(ctx, func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), ShutdownTimeout)
		defer cancel()
		_ = server.Shutdown(ending) // requests that are left end with the process
	})
	defer stopped()
	return group.Wait()
}

// Addresses returns where to listen for an address that may lack its host. Without a host it is the
// pod's own address, and the loopback address for probes and for people on the node: not the
// addresses of tunnels, nor others that the node has. Without a pod, all addresses.
func Addresses(address, podIP string) []string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host != "" || podIP == "" {
		return []string{address}
	}
	return []string{net.JoinHostPort(podIP, port), net.JoinHostPort("127.0.0.1", port)}
}
