package web

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/web/view"
	"github.com/tombolo-net/tombolo/internal/topology"
)

const (
	// every is between two samples, and oneGateway is how long a gateway may take to answer.
	every      = 5 * time.Second
	oneGateway = 4 * time.Second
	// mostSamples are kept: a quarter of an hour.
	mostSamples = 180
	// atOnce is how many gateways are asked at a time.
	atOnce = 16
)

// sample measures the links every five seconds while somebody looks, until ctx ends.
func (f *feed) sample(ctx context.Context) error {
	var before map[string]view.Counters
	samples, number := view.State{}, 0
	for {
		_, changed := f.board.now()
		if !f.board.isRead() {
			before = nil // rates over a long time say nothing
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-changed:
			}
			continue
		}
		next := time.After(every)
		after := f.counters(ctx)
		_, picture := f.last()
		one := view.State{}
		one.Put(view.SampleOf(picture, before, after, time.Now().UTC()), fmt.Sprintf("%s%08d", view.SamplePrefix, number))
		samples = samples.With(fmt.Sprintf("%s%08d", view.SamplePrefix, number-mostSamples), one)
		f.board.set(view.SamplePrefix, samples)
		before, number = after, number+1
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-next:
		}
	}
}

// counters are what the gateways of all clusters say, by view.LinkID.
func (f *feed) counters(ctx context.Context) map[string]view.Counters {
	snapshots, _ := f.last()
	all := map[string]view.Counters{}
	var mu sync.Mutex // guards all
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, c := range f.clusters {
		if i >= len(snapshots) || snapshots[i].ClusterSet == nil || len(snapshots[i].GatewayNodes) == 0 || snapshots[i].Behind != "" {
			continue
		}
		group.Go(func() error {
			said, err := ofGateways(ctx, c, &snapshots[i])
			if err != nil && ctx.Err() == nil {
				f.notice("traffic/"+c.Context, "Throughput of context "+c.Context+" cannot be read: "+err.Error())
			} else {
				f.notice("traffic/"+c.Context, "")
			}
			mu.Lock()
			defer mu.Unlock()
			for id, counters := range said {
				all[id] = counters
			}
			return nil
		})
	}
	_ = group.Wait() // what cannot be read is told
	return all
}

// ofGateways asks the gateways of a cluster, with what is known if some cannot be asked.
func ofGateways(ctx context.Context, c *access.Cluster, s *topology.Snapshot) (map[string]view.Counters, error) {
	ctx, stop := context.WithTimeout(ctx, oneGateway)
	defer stop()
	var pods corev1.PodList
	err := c.List(ctx, &pods, client.InNamespace(s.GatewayNodes[0].Namespace), client.MatchingLabels{"app.kubernetes.io/name": "tombolo-gateway"})
	if err != nil {
		return nil, fmt.Errorf("looking for the gateways' pods: %w", err)
	}
	all := map[string]view.Counters{}
	var mu sync.Mutex // guards all
	var group errgroup.Group
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil {
			continue
		}
		group.Go(func() error {
			page, err := c.Exec(ctx, pod, nil, "/tombolo", "dump", "page", "127.0.0.1:7474", "/metrics")
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			return read(page, pod.Spec.NodeName, s, time.Now(), all)
		})
	}
	return all, group.Wait()
}

// read adds what a gateway's metrics say of its links.
func read(page []byte, node string, s *topology.Snapshot, now time.Time, into map[string]view.Counters) error {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(page))
	if err != nil {
		return fmt.Errorf("reading the metrics of the gateway on node %s: %w", node, err)
	}
	gateway := gatewayOn(s, node)
	if gateway == "" {
		return nil // it is new
	}
	for name, set := range map[string]func(*view.Counters, float64){
		"tombolo_gateway_link_sent_bytes_total":     func(c *view.Counters, v float64) { c.Sent = v },
		"tombolo_gateway_link_received_bytes_total": func(c *view.Counters, v float64) { c.Received = v },
		"tombolo_gateway_link_rtt_seconds":          func(c *view.Counters, v float64) { c.RTT = time.Duration(v * float64(time.Second)) },
		"tombolo_gateway_link_loss_ratio":           func(c *view.Counters, v float64) { c.Loss = v },
	} {
		for _, m := range families[name].GetMetric() {
			cluster, remote := linkOf(m, s)
			if remote == "" {
				continue
			}
			id := view.LinkID(s.ClusterSet.Spec.ClusterID, gateway, cluster, remote)
			c := into[id]
			c.At = now
			set(&c, m.GetCounter().GetValue()+m.GetGauge().GetValue())
			into[id] = c
		}
	}
	return nil
}

// gatewayOn is the name of the GatewayNode on the node.
func gatewayOn(s *topology.Snapshot, node string) string {
	for i := range s.GatewayNodes {
		if s.GatewayNodes[i].Spec.NodeName == node {
			return s.GatewayNodes[i].Name
		}
	}
	return ""
}

// linkOf is where the link of a metric leads to: labels name the cluster, and the lane of its gateway.
func linkOf(m *dto.Metric, s *topology.Snapshot) (cluster v1alpha1.ClusterID, gateway string) {
	lane := ""
	for _, l := range m.GetLabel() {
		switch l.GetName() {
		case "cluster":
			cluster = v1alpha1.ClusterID(l.GetValue())
		case "lane":
			lane = l.GetValue()
		}
	}
	for i := range s.RemoteClusters {
		if s.RemoteClusters[i].Name != string(cluster) {
			continue
		}
		for _, g := range s.RemoteClusters[i].Spec.Gateways {
			if strconv.Itoa(int(g.Lane)) == lane {
				return cluster, g.Name
			}
		}
	}
	return cluster, ""
}
