package agent

import (
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

func TestReady(t *testing.T) {
	for _, tt := range []struct {
		name   string
		result *tunnelResult
		want   string // in the error; empty: ready
	}{
		{"no pass yet", nil, "no pass yet"},
		{"no module", &tunnelResult{err: wireguard.ErrNoKernelSupport}, "modprobe wireguard"},
		{"no lane", &tunnelResult{pending: "waiting"}, "waiting"},
		{"planned", &tunnelResult{planned: true}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := New(Config{})
			a.result = tt.result
			err := a.Ready()
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
