package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// shutdownTimeout is how long requests may take to end.
const shutdownTimeout = 2 * time.Second

// pages are what an agent shows of itself over HTTP.
type pages struct {
	metrics prometheus.Gatherer
	healthy func() error // an error: the agent is stuck and wants to be restarted; nil: it is healthy while it answers
	ready   func() error // an error: it does not do its work, and why
}

// serve serves /metrics, /healthz and /readyz at the address until ctx ends.
func (p pages) serve(ctx context.Context, address string) error {
	return serveHTTP(ctx, address, p.handler())
}

// serveHTTP serves at the address until ctx ends.
func serveHTTP(ctx context.Context, address string, handler http.Handler) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("serving pages: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	stopped := context.AfterFunc(ctx, func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		_ = server.Shutdown(ending) // what is left then ends with the process
	})
	defer stopped()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving pages on %s: %w", address, err)
	}
	return nil
}

func (p pages) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", check(p.healthy))
	mux.HandleFunc("GET /readyz", check(p.ready))
	return mux
}

func check(state func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if state != nil {
			if err := state(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		fmt.Fprintln(w, "ok")
	}
}
