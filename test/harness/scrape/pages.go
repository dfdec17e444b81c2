// Package scrape reads the pages that programs serve of themselves, such as /readyz and /metrics,
// for tests and measurements. It waits for nothing and judges nothing.
package scrape

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Client returns a client, safe for concurrent use, that asks where enter runs a function: in a
// network namespace, on a thread of its own. Each request has a connection of its own, which ends
// with it.
func Client(enter func(func())) *http.Client {
	dial := func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		enter(func() { conn, err = new(net.Dialer).DialContext(ctx, network, address) })
		return conn, err
	}
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
}

// Get returns the page at that URL. An answer other than 200 is an error that tells it.
func Get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("reading %s: %s: %s", url, response.Status, bytes.TrimSpace(page))
	}
	return page, nil
}

// Metrics returns the metrics of that name in a page of Prometheus's text format, one for each set
// of labels; none if the page has none, as of a counter with labels that has not counted yet. The
// error is about any line of the page that is not in the format.
func Metrics(page []byte, name string) ([]*dto.Metric, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(page))
	if err != nil {
		return nil, fmt.Errorf("parsing metrics: %w", err)
	}
	return families[name].GetMetric(), nil
}

// Label returns the value of a metric's label; empty is none.
func Label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
