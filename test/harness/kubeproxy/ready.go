package kubeproxy

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/test/harness/scrape"
)

const pollInterval = 200 * time.Millisecond

// wait returns when kube-proxy says that it runs in the mode that was asked for, and that it has
// written its rules of both address families, of which it takes care wherever the kernel has them,
// also on a node that has addresses of one only.
func (p *Proxy) wait(ctx context.Context) error {
	var last error
	for {
		if last = p.ready(ctx); last == nil {
			return nil
		}
		select {
		case <-p.ended:
			state := p.command.ProcessState
			p.command = nil
			return fmt.Errorf("kube-proxy ended while it was waited for: %s; its log says why", state)
		case <-ctx.Done():
			return fmt.Errorf("waiting for kube-proxy: %w: %w", ctx.Err(), last)
		case <-time.After(pollInterval):
		}
	}
}

// syncedMetric is the time of the last complete pass, by address family, 0 before the first.
const syncedMetric = "kubeproxy_sync_proxy_rules_last_timestamp_seconds"

func (p *Proxy) ready(ctx context.Context) error {
	mode, err := p.get(ctx, "/proxyMode")
	if err != nil {
		return err
	}
	if string(mode) != p.cfg.Mode {
		return fmt.Errorf("kube-proxy runs in mode %s, not %s", mode, p.cfg.Mode)
	}
	page, err := p.get(ctx, "/metrics")
	if err != nil {
		return err
	}
	passes, err := scrape.Metrics(page, syncedMetric)
	if err != nil {
		return err
	}
	for _, family := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
		if !slices.ContainsFunc(passes, func(m *dto.Metric) bool {
			return scrape.Label(m, "ip_family") == string(family) && m.GetGauge().GetValue() > 0
		}) {
			return fmt.Errorf("kube-proxy has not written its rules for %s yet", family)
		}
	}
	return nil
}

// get asks kube-proxy itself.
func (p *Proxy) get(ctx context.Context, path string) ([]byte, error) {
	return scrape.Get(ctx, p.client, "http://"+MetricsAddress+path)
}

// forward answers with what kube-proxy answers.
func (p *Proxy) forward() http.Handler {
	return &httputil.ReverseProxy{
		Transport: p.client.Transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", MetricsAddress
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
}
