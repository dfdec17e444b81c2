package pages

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

func TestPages(t *testing.T) {
	fails := func(text string) func() error { return func() error { return errors.New(text) } }
	well := func() error { return nil }
	for _, tt := range []struct {
		name, path     string
		healthy, ready func() error
		want           int
		text           string
	}{
		{"stuck", "/healthz", fails("in one pass for 1m"), well, http.StatusServiceUnavailable, "in one pass for 1m"},
		{"healthy", "/healthz", well, fails("no pass yet"), http.StatusOK, "ok"},
		{"healthy while it answers", "/healthz", nil, fails("no pass yet"), http.StatusOK, "ok"},
		{"not ready", "/readyz", well, fails("modprobe wireguard"), http.StatusServiceUnavailable, "modprobe wireguard"},
		{"ready", "/readyz", nil, well, http.StatusOK, "ok"},
		{"metrics", "/metrics", nil, well, http.StatusOK, "go_goroutines"},
		{"nothing else", "/debug", nil, well, http.StatusNotFound, "not found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			registry.MustRegister(collectors.NewGoCollector())
			w := httptest.NewRecorder()
			Pages{Metrics: registry, Healthy: tt.healthy, Ready: tt.ready}.Handler().
				ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, tt.path, http.NoBody))
			if w.Code != tt.want || !strings.Contains(w.Body.String(), tt.text) {
				t.Errorf("%s answers %d %q, want %d with %q", tt.path, w.Code, w.Body, tt.want, tt.text)
			}
		})
	}
}

// TestServe: what is served ends with ctx; an address that is taken is an error that names it.
func TestServe(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := Serve(t.Context(), address, Profiles()); err == nil || !strings.Contains(err.Error(), address) {
		t.Errorf("a taken address: %v", err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := Serve(ctx, address, Profiles()); err != nil {
		t.Error(err)
	}
}

func TestProfiles(t *testing.T) {
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/pprof/symbol"} {
		w := httptest.NewRecorder()
		Profiles().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		if w.Code != http.StatusOK {
			t.Errorf("%s answers %d", path, w.Code)
		}
	}
}

func TestValidateAddress(t *testing.T) {
	for _, tt := range []struct {
		address         string
		valid, loopback bool
	}{
		{"127.0.0.1:6060", true, true}, {"[::1]:6060", true, true},
		{":6060", true, false}, {"0.0.0.0:6060", true, false}, {"10.0.0.1:6060", true, false}, {"localhost:6060", true, false},
		{"", false, false}, {"127.0.0.1", false, false}, {"::1:6060", false, false},
	} {
		if err := ValidateAddress(tt.address); (err == nil) != tt.valid {
			t.Errorf("%q: got error %v, want valid %v", tt.address, err, tt.valid)
		}
		if err := ValidateLoopback(tt.address); (err == nil) != tt.loopback {
			t.Errorf("%q: got error %v, want a loopback address %v", tt.address, err, tt.loopback)
		}
	}
}
