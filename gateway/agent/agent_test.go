package agent

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

func TestReady(t *testing.T) {
	for _, tt := range []struct {
		name    string
		outcome *outcome
		want    string // in the error; empty: ready
	}{
		{"no pass yet", nil, "no pass yet"},
		{"no module", &outcome{err: wireguard.ErrNoKernelSupport}, "modprobe wireguard"},
		{"no lane", &outcome{pending: "waiting"}, "waiting"},
		{"planned", &outcome{planned: true}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := New(Config{Metrics: NewMetrics(prometheus.NewRegistry())})
			a.outcome = tt.outcome
			err := a.Ready()
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
