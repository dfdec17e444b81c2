package operator

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/skipped"
	"github.com/tombolo-net/tombolo/test/harness/metricspage"
)

func TestMetricsAreDocumented(t *testing.T) {
	metricspage.Check(t, "Operator", func(r prometheus.Registerer) {
		if err := register(r, hub.New(hub.Config{}), skipped.New(), nil); err != nil {
			t.Fatal(err)
		}
	})
}
