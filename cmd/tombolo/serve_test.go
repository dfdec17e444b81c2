package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
			pages{metrics: registry, healthy: tt.healthy, ready: tt.ready}.handler().
				ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, tt.path, http.NoBody))
			if w.Code != tt.want || !strings.Contains(w.Body.String(), tt.text) {
				t.Errorf("%s answers %d %q, want %d with %q", tt.path, w.Code, w.Body, tt.want, tt.text)
			}
		})
	}
}
