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
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/ingress"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
)

// admission is the filter on the way in. It is safe for concurrent use.
type admission struct {
	table ingressTable
	marks marks
	// mu guards what follows, and is held while the table is written.
	mu sync.Mutex
	// stands is true after the table was written: what an earlier run made counts until then.
	stands bool
	kept   kept
	// in is what the filter was last planned from, but for the endpoints; nil: there is to be none, or
	// all is to be planned again.
	in *ingress.Input
	// elements are those of the slices' endpoints, by the names of the slices.
	elements firewall.Elements[types.NamespacedName]
	want     firewall.Config
}

// ingressPass makes the filter what the caches ask for.
func (a *Agent) ingressPass(ctx context.Context) error {
	a.admission.mu.Lock()
	defer a.admission.mu.Unlock()
	work := a.admission.marks.collect()
	if err := a.planIngress(ctx, work); err != nil {
		a.admission.marks.restore(work)
		return err
	}
	change, mended, err := a.admission.kept.sync(ctx, a.admission.table, a.admission.want, work.empty())
	if err != nil {
		return fmt.Errorf("writing the filter on the way in: %w", err)
	}
	a.admission.stands = true
	if change.Empty() {
		return nil
	}
	if mended {
		a.mended(ctx, partIngress, "the table inet "+firewall.IngressTable)
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

// planIngress plans again what is marked.
func (a *Agent) planIngress(ctx context.Context, work work) error {
	p := &a.admission
	if work.empty() {
		return nil
	}
	in, all := p.in, false
	if work.network || in == nil {
		var err error
		if in, err = a.ingressInput(ctx); err != nil {
			return err
		}
		all = in != nil && (p.in == nil || !in.SameElements(*p.in))
	}
	p.in = nil // until its endpoints are planned
	if in == nil {
		p.elements, p.want = firewall.Elements[types.NamespacedName]{}, firewall.Config{}
		return nil
	}
	if err := a.planEndpoints(ctx, *in, work, all); err != nil {
		return err
	}
	in.Endpoints = p.elements.Sets()
	p.in, p.want = in, ingress.Table(*in)
	return nil
}

// ingressInput returns what the filter follows from, but for the endpoints. A cluster without a
// ClusterSet, or with ingress mode Any, has no filter: then it returns nil.
func (a *Agent) ingressInput(ctx context.Context) (*ingress.Input, error) {
	o, err := a.readObjects(ctx)
	if err != nil || o.clusterSet == nil || o.clusterSet.Spec.Gateway.Ingress == v1alpha1.IngressAny {
		return nil, err
	}
	spec, status := &o.clusterSet.Spec, &o.clusterSet.Status
	in := &ingress.Input{Cluster: spec.ClusterID, CIDRs: clusterset.Prefixes(status.CIDRs), Transit: clusterset.TransitBlocks(spec, status.Index), Probes: probe.Port}
	if o.gateway != nil && o.gateway.Status.Lane != nil {
		for _, b := range in.Transit {
			in.Tunnel = append(in.Tunnel, clusterset.TunnelAddress(b, *o.gateway.Status.Lane))
		}
	}
	for _, r := range o.remotes {
		in.Senders = append(in.Senders, ingress.Sender{Cluster: v1alpha1.ClusterID(r.Name), Region: r.Spec.Region,
			Prefixes: append(clusterset.Prefixes(r.Spec.CIDRs), clusterset.TransitBlocks(spec, r.Spec.Index)...),
		})
	}
	in.Nodes, err = a.nodeAddresses(ctx)
	return in, err
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

// watchDropped makes an event when packets of another cluster are dropped, at most one for a cluster
// and reason in quietDropped.
type watchDropped struct {
	looked time.Time
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
