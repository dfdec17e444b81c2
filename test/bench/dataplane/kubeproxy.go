package dataplane

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/tombolo-net/tombolo/test/harness/kubeproxy"
)

// ordinaryProxy is kube-proxy with ordinary Services.
type ordinaryProxy struct {
	mode string
	dir  string

	proxy *kubeproxy.Proxy
	log   kubeproxyLog
}

func (p *ordinaryProxy) vip(index int) netip.Addr { return clusterIP(index) }

func (p *ordinaryProxy) put(all ...service) error { return p.proxy.Apply(ordinary(all)...) }

func (p *ordinaryProxy) pid() int { return p.proxy.PID() }

// pause: kube-proxy waits for a second after each sync (minSyncPeriod), in which it collects
// changes.
func (p *ordinaryProxy) pause() time.Duration { return 1500 * time.Millisecond }

func ordinary(all []service) []runtime.Object {
	var objects []runtime.Object
	for _, s := range all {
		objects = append(objects, s.ordinary()...)
	}
	return objects
}

// start starts kube-proxy among those services and waits until it has written its rules.
func (p *ordinaryProxy) start(ctx context.Context, all []service) error {
	var err error
	p.proxy, err = kubeproxy.Start(ctx, kubeproxy.Config{Mode: p.mode, Node: node(), Objects: ordinary(all),
		ClusterCIDRs: []string{podCIDR}, Dir: p.dir, Log: &p.log})
	if err != nil {
		return fmt.Errorf("%w: %s", err, p.log.end())
	}
	return os.WriteFile(filepath.Join(p.dir, "log"), []byte(p.log.end()), 0o644)
}

// known is when kube-proxy began to ask for services and endpoints.
func (p *ordinaryProxy) known() time.Time { return p.log.began() }

func (p *ordinaryProxy) spent(ctx context.Context) (time.Duration, error) {
	return histogramSum(ctx, kubeproxy.MetricsAddress, "kubeproxy_sync_proxy_rules_duration_seconds")
}

func (p *ordinaryProxy) stop() error {
	if p.proxy == nil {
		return nil
	}
	return p.proxy.Close()
}

// kubeproxyLog keeps the end of what kube-proxy prints, and when it said that it begins to watch.
type kubeproxyLog struct {
	mu    sync.Mutex
	text  bytes.Buffer
	since time.Time
}

// beginning is what kube-proxy prints before it starts its first informer (pkg/proxy/config).
var beginning = []byte("service config controller")

func (l *kubeproxyLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since.IsZero() && bytes.Contains(b, beginning) {
		l.since = time.Now()
	}
	return l.text.Write(b)
}

func (l *kubeproxyLog) began() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.since
}

func (l *kubeproxyLog) end() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text.Bytes()
	return string(text[max(0, len(text)-4096):])
}
