package agent

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

func TestHandler(t *testing.T) {
	for _, tc := range []struct {
		name    string
		outcome *outcome
		path    string
		want    int
		text    string
	}{
		{"no pass yet", nil, "/readyz", http.StatusServiceUnavailable, "no pass yet"},
		{"alive without a pass", nil, "/healthz", http.StatusOK, "ok"},
		{"no module", &outcome{err: wireguard.ErrNoKernelSupport}, "/readyz", http.StatusServiceUnavailable, "modprobe wireguard"},
		{"no lane", &outcome{pending: "waiting"}, "/readyz", http.StatusServiceUnavailable, "waiting"},
		{"planned", &outcome{planned: true}, "/readyz", http.StatusOK, "ok"},
		{"metrics", nil, "/metrics", http.StatusOK, "tombolo_gateway_pass_duration_seconds"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			a := New(Config{Metrics: NewMetrics(registry)})
			a.outcome = tc.outcome
			w := httptest.NewRecorder()
			a.handler(registry).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, tc.path, http.NoBody))
			if w.Code != tc.want || !strings.Contains(w.Body.String(), tc.text) {
				t.Errorf("%s answers %d %q, want %d with %q", tc.path, w.Code, w.Body, tc.want, tc.text)
			}
		})
	}
}
