package exchange

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// writes counts write requests to an API server by resource, as that tells itself in its metrics: refused ones too.
type writes map[string]float64

// readMetrics reads what the API server tells of itself (Prometheus's text format).
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
	return parseWrites(string(data))
}

// parseWrites adds up apiserver_request_total for the verbs that write (Prometheus's text format).
func parseWrites(text string) (writes, error) {
	total := writes{}
	for line := range strings.Lines(text) {
		labels, found := strings.CutPrefix(line, "apiserver_request_total{")
		if !found {
			continue
		}
		labels, value, found := strings.Cut(labels, "} ")
		if !found {
			return nil, fmt.Errorf("parsing %q", line)
		}
		switch label(labels, "verb") {
		case "POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION":
		default:
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			return nil, fmt.Errorf("parsing %q: %w", line, err)
		}
		total[label(labels, "resource")] += n
	}
	return total, nil
}

// label is a label's value; those of this metric hold no quotes.
func label(labels, name string) string {
	_, rest, _ := strings.Cut(","+labels, ","+name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// since is how many writes of those resources there were since before.
func (w writes) since(before writes, resources ...string) float64 {
	var n float64
	for _, r := range resources {
		n += w[r] - before[r]
	}
	return n
}
