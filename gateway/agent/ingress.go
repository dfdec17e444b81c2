package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/ingress"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// admission is the filter on the way in. It is safe for concurrent use.
type admission struct {
	table ingressTable
	// mu guards what follows, and is held while the table is written.
	mu sync.Mutex
	// stands is true after the table was written: what an earlier run made counts until then.
	stands bool
}

// ingressPass makes the filter what the caches ask for.
func (a *Agent) ingressPass(ctx context.Context) error {
	a.admission.mu.Lock()
	defer a.admission.mu.Unlock()
	want, err := a.ingressConfig(ctx)
	if err != nil {
		return err
	}
	change, err := a.admission.table.Sync(ctx, want)
	if err != nil {
		return fmt.Errorf("writing the filter on the way in: %w", err)
	}
	a.admission.stands = true
	if change.Empty() {
		return nil
	}
	a.metrics.changes.WithLabelValues(string(partIngress)).Inc()
	if change.Replace {
		logr.FromContextOrDiscard(ctx).Info("changed the filter on the way in", "table", firewall.IngressTable)
	}
	return nil
}

// shut makes sure that there is a filter before there are tunnels.
func (a *Agent) shut(ctx context.Context) error {
	a.admission.mu.Lock()
	stands := a.admission.stands
	a.admission.mu.Unlock()
	if stands {
		return nil
	}
	return a.ingressPass(ctx)
}

// ingressConfig returns the filter that the objects in the caches ask for. A cluster without a
// ClusterSet, or with ingress mode Any, has no filter.
func (a *Agent) ingressConfig(ctx context.Context) (firewall.Config, error) {
	o, err := a.readObjects(ctx)
	if err != nil || o.clusterSet == nil || o.clusterSet.Spec.Gateway.Ingress == v1alpha1.IngressAny {
		return firewall.Config{}, err
	}
	spec, status := &o.clusterSet.Spec, &o.clusterSet.Status
	blocks := clusterset.TransitBlocks(spec, status.Index)
	in := ingress.Input{Own: append(clusterset.Prefixes(status.CIDRs), blocks...), Probes: probe.Port}
	if o.gateway != nil && o.gateway.Status.Lane != nil {
		for _, b := range blocks {
			in.Tunnel = append(in.Tunnel, clusterset.TunnelAddress(b, *o.gateway.Status.Lane))
		}
	}
	for _, r := range o.remotes {
		in.Senders = append(in.Senders, ingress.Sender{
			Cluster: v1alpha1.ClusterID(r.Name), Prefixes: append(clusterset.Prefixes(r.Spec.CIDRs), clusterset.TransitBlocks(spec, r.Spec.Index)...),
		})
	}
	if in.Nodes, err = a.nodeAddresses(ctx); err != nil {
		return firewall.Config{}, err
	}
	if err := a.addEndpoints(ctx, &in, o); err != nil {
		return firewall.Config{}, err
	}
	return ingress.Table(in), nil
}

// nodeAddresses are the addresses of all nodes of this cluster.
func (a *Agent) nodeAddresses(ctx context.Context) (all []netip.Addr, err error) {
	var nodes corev1.NodeList
	if err := a.cfg.Client.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing Nodes: %w", err)
	}
	for i := range nodes.Items {
		for _, address := range nodes.Items[i].Status.Addresses {
			if addr, err := netip.ParseAddr(address.Address); err == nil {
				all = append(all, addr.Unmap())
			}
		}
	}
	return all, nil
}

// isOpen reports whether others may reach the Service of the export: the operator has not refused it.
// That it has not judged yet is no reason: its word comes after the endpoints' publication. Nor is
// that a change waits for the hub.
func isOpen(e *mcsv1beta1.ServiceExport) bool {
	ready := meta.FindStatusCondition(e.Status.Conditions, string(mcsv1beta1.ServiceExportConditionReady))
	refused := ready != nil && ready.Status == metav1.ConditionFalse && ready.Reason == string(mcsv1beta1.ServiceExportReasonFailed)
	return e.DeletionTimestamp == nil && !refused && !meta.IsStatusConditionFalse(e.Status.Conditions, string(mcsv1beta1.ServiceExportConditionValid))
}

// appendEndpoints appends the slice's endpoints inside the prefixes, ready or not: the last packets of
// a pod that ends must pass, too. A slice that lists no ports stands for all of them, as of a headless
// Service without ports.
func appendEndpoints(all []serviceport.Key, s *discoveryv1.EndpointSlice, inside []netip.Prefix) []serviceport.Key {
	for i := range s.Endpoints {
		for _, text := range s.Endpoints[i].Addresses {
			addr, err := netip.ParseAddr(text)
			if err != nil || clusterset.FaultOf(addr) != "" || !clusterset.Contains(inside, addr) {
				continue
			}
			if len(s.Ports) == 0 {
				all = append(all, serviceport.Key{Address: addr})
			}
			for _, p := range s.Ports {
				if key, ok := portOf(addr, p); ok {
					all = append(all, key)
				}
			}
		}
	}
	return all
}

func portOf(addr netip.Addr, p discoveryv1.EndpointPort) (serviceport.Key, bool) {
	protocol := serviceport.TCP
	if p.Protocol != nil {
		protocol = serviceport.ParseProtocol(string(*p.Protocol))
	}
	if p.Port == nil || *p.Port < 1 || *p.Port > 65535 || !protocol.Known() {
		return serviceport.Key{}, false
	}
	return serviceport.Key{Address: addr, Protocol: protocol, Port: uint16(*p.Port)}, true
}

// watchDropped makes an event when packets of another cluster are dropped, at most one for a cluster
// and reason in quietDropped.
type watchDropped struct {
	before map[string]uint64
	told   map[string]time.Time
}

// quietDropped is how long nothing more is said about packets of a cluster that are dropped for a
// reason.
const quietDropped = 10 * time.Minute

// reportDropped looks at the counters, and makes events.
func (a *Agent) reportDropped(ctx context.Context, now time.Time) error {
	dropped, err := a.admission.table.Dropped()
	if err != nil {
		return err
	}
	w := &a.dropped
	if w.told == nil {
		w.told = map[string]time.Time{}
	}
	for name, packets := range dropped.Packets {
		before, known := w.before[name]
		if grown := packets - before; !known || packets <= before || now.Sub(w.told[name]) < quietDropped {
			continue
		} else if cluster, reason, ok := ingress.ParseCounterName(name); ok && cluster != "" {
			w.told[name] = now
			from, own := a.prefixesOf(ctx, cluster)
			a.tellDropped(ctx, cluster, reason, ingress.DroppedNote(cluster, reason, grown, dropped.ExampleOf(reason, from, own)))
		}
	}
	w.before = dropped.Packets
	return nil
}

// tellDropped makes an event. Its action is the reason of the filter: of events with one action the API keeps
// the first note and counts the others.
func (a *Agent) tellDropped(ctx context.Context, cluster v1alpha1.ClusterID, reason ingress.Reason, note string) {
	logr.FromContextOrDiscard(ctx).Info("dropped packets of another cluster", "cluster", cluster, "what", note)
	if a.cfg.Events == nil {
		return
	}
	remote, err := get(ctx, a.cfg.Client, client.ObjectKey{Name: string(cluster)}, &v1alpha1.RemoteCluster{})
	if err != nil || remote == nil {
		return
	}
	a.cfg.Events.Eventf(remote, nil, corev1.EventTypeWarning, v1alpha1.ReasonIngressDropped, string(reason), "%s", note)
}

// prefixesOf are those of another cluster and this cluster's own; nil if they are not known.
func (a *Agent) prefixesOf(ctx context.Context, cluster v1alpha1.ClusterID) (from, own []netip.Prefix) {
	remote, err := get(ctx, a.cfg.Client, client.ObjectKey{Name: string(cluster)}, &v1alpha1.RemoteCluster{})
	set, errSet := get(ctx, a.cfg.Client, client.ObjectKey{Name: v1alpha1.ClusterSetName}, &v1alpha1.ClusterSet{})
	if errors.Join(err, errSet) != nil || remote == nil || set == nil {
		return nil, nil
	}
	return slices.Concat(clusterset.Prefixes(remote.Spec.CIDRs), clusterset.TransitBlocks(&set.Spec, remote.Spec.Index)),
		slices.Concat(clusterset.Prefixes(set.Status.CIDRs), clusterset.TransitBlocks(&set.Spec, set.Status.Index))
}
