package kubeproxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const pollInterval = 200 * time.Millisecond

// wait returns when kube-proxy says that it runs in the mode that was asked for, and that it has written its rules of both
// address families, of which it takes care wherever the kernel has them, also on a node that has addresses of one only.
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
	if mode != p.cfg.Mode {
		return fmt.Errorf("kube-proxy runs in mode %s, not %s", mode, p.cfg.Mode)
	}
	metrics, err := p.get(ctx, "/metrics")
	if err != nil {
		return err
	}
	for _, family := range []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol} {
		if !synced(metrics, family) {
			return fmt.Errorf("kube-proxy has not written its rules for %s yet", family)
		}
	}
	return nil
}

func synced(metrics string, family corev1.IPFamily) bool {
	for line := range strings.Lines(metrics) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == syncedMetric+`{ip_family="`+string(family)+`"}` {
			at, err := strconv.ParseFloat(fields[1], 64)
			return err == nil && at > 0
		}
	}
	return false
}

// get asks kube-proxy itself.
func (p *Proxy) get(ctx context.Context, path string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+MetricsAddress+path, nil)
	if err != nil {
		return "", err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", fmt.Errorf("asking kube-proxy for %s: %w", path, err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("asking kube-proxy for %s: %s", path, response.Status)
	}
	return string(body), nil
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
