package exchange

import (
	"context"
	"fmt"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/tombolo-net/tombolo/test/harness/scrape"
)

// writes counts write requests to an API server by resource, as that tells itself in its metrics:
// refused ones too.
type writes map[string]float64

// readMetrics reads the API server's own metrics (Prometheus's text format).
func readMetrics(ctx context.Context, config *rest.Config) ([]byte, error) {
	api, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	data, err := api.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's metrics: %w", err)
	}
	return data, nil
}

// readWrites reads what the API server has counted so far.
func readWrites(ctx context.Context, config *rest.Config) (writes, error) {
	data, err := readMetrics(ctx, config)
	if err != nil {
		return nil, err
	}
	return parseWrites(data)
}

// parseWrites adds up apiserver_request_total for the verbs that write.
func parseWrites(page []byte) (writes, error) {
	all, err := scrape.Metrics(page, "apiserver_request_total")
	if err != nil {
		return nil, err
	}
	total := writes{}
	for _, m := range all {
		switch scrape.Label(m, "verb") {
		case "POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION":
			total[scrape.Label(m, "resource")] += m.GetCounter().GetValue()
		}
	}
	return total, nil
}

// since is how many writes of those resources there were since before.
func (w writes) since(before writes, resources ...string) float64 {
	var n float64
	for _, r := range resources {
		n += w[r] - before[r]
	}
	return n
}
