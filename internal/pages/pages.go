// Package pages owns the HTTP pages that every process serves about itself: metrics, health and
// Go's profiles, and the server and the checks of addresses for them. What is healthy or ready, and
// what is measured, belongs to the process.
package pages

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Pages are what a process shows of itself.
type Pages struct {
	// Metrics are served under /metrics.
	Metrics prometheus.Gatherer // required
	// Healthy returns an error if the process is stuck and wants to be restarted.
	Healthy func() error // optional, default: the process is healthy while it answers
	// Ready returns an error that says why the process does not do its work.
	Ready func() error // optional, default: the process is ready while it answers
	// Guard decides who else than this host sees Metrics. Serve must have the same one.
	Guard *Guard // optional, default: everybody does
}

// Handler serves /metrics, /healthz and /readyz.
func (p Pages) Handler() http.Handler {
	mux := http.NewServeMux()
	metrics := promhttp.HandlerFor(p.Metrics, promhttp.HandlerOpts{})
	if p.Guard != nil {
		metrics = p.Guard.protect(metrics)
	}
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /healthz", check(p.Healthy))
	mux.HandleFunc("GET /readyz", check(p.Ready))
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

// Profiles serves Go's profiles of this process under /debug/pprof/.
func Profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// ValidateAddress returns an error if the address is not host:port; the host is optional.
func ValidateAddress(address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("want host:port or :port: %w", err)
	}
	return nil
}

// ValidateLoopback returns an error if the address is not a loopback address with a port. Pages
// that show what is in memory must not leave the host.
func ValidateLoopback(address string) error {
	if a, err := netip.ParseAddrPort(address); err != nil || !a.Addr().IsLoopback() {
		return errors.New("want a loopback address and a port, such as 127.0.0.1:6060: its pages must not leave this host")
	}
	return nil
}
