package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/plan"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

// writeTimeout bounds a pass over the API objects.
const writeTimeout = 15 * time.Second

// maxEndpoints is how many endpoints a GatewayNode may have (its CRD).
const maxEndpoints = 8

// fieldOwnerPrefix and the node's name own the gateway's fields in server-side apply.
const fieldOwnerPrefix = "tombolo-gateway-"

// statusPass writes to the API server what is not there yet: the key, the GatewayNode, its condition, the links.
func (a *Agent) statusPass(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	key, known := a.privateKey()
	if !known {
		var err error
		if key, err = a.ensureKey(ctx); err != nil {
			return errors.Join(err, a.reportKey(ctx, err))
		}
		a.setKey(key)
	}
	v, err := a.observe(ctx)
	if err != nil {
		return err
	}
	if v.clusterSet == nil {
		return nil
	}
	errs := []error{a.writeSpec(ctx, v, key)}
	if o := a.lastOutcome(); o != nil && v.gateway != nil {
		errs = append(errs, a.writeReady(ctx, v.gateway, readyCondition(o)))
		if o.planned {
			errs = append(errs, a.writeLinks(ctx, v.remotes, o))
		}
	}
	return errors.Join(errs...)
}

// reportKey puts the error about the key into the condition, where there is a GatewayNode from before.
func (a *Agent) reportKey(ctx context.Context, keyErr error) error {
	v, err := a.observe(ctx)
	if err != nil || v.gateway == nil {
		return err
	}
	return a.writeReady(ctx, v.gateway, readyCondition(&outcome{err: keyErr}))
}

// owner is this gateway's field owner.
func (a *Agent) owner() client.FieldOwner {
	return client.FieldOwner(fieldOwnerPrefix + a.cfg.NodeName)
}

// writeSpec makes this node's GatewayNode say how the gateway can be reached.
func (a *Agent) writeSpec(ctx context.Context, v view, key wireguard.PrivateKey) error {
	spec, err := gatewaySpec(v, key)
	if err != nil {
		return err
	}
	if v.gateway != nil && equality.Semantic.DeepEqual(v.gateway.Spec, spec) {
		return nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&spec)
	if err != nil {
		return fmt.Errorf("encoding GatewayNode %s: %w", a.cfg.NodeName, err)
	}
	u := applied("GatewayNode", a.cfg.Namespace, a.cfg.NodeName, "spec", content)
	if err := a.cfg.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), a.owner(), client.ForceOwnership); err != nil {
		return fmt.Errorf("writing GatewayNode %s/%s: %w", a.cfg.Namespace, a.cfg.NodeName, err)
	}
	return nil
}

// gatewaySpec is what the gateway says of itself: its endpoints are the node's external addresses, then its internal
// ones.
func gatewaySpec(v view, key wireguard.PrivateKey) (v1alpha1.GatewayNodeSpec, error) {
	spec := v1alpha1.GatewayNodeSpec{NodeName: v.node.Name, PublicKey: key.Public().String()}
	candidates := slices.Concat(nodeAddresses(v.node, corev1.NodeExternalIP), nodeAddresses(v.node, corev1.NodeInternalIP))
	for _, addr := range candidates {
		e := v1alpha1.Endpoint{Address: v1alpha1.IPAddress(addr.String()), Port: v.clusterSet.Spec.Gateway.Port}
		if !slices.Contains(spec.Endpoints, e) && len(spec.Endpoints) < maxEndpoints {
			spec.Endpoints = append(spec.Endpoints, e)
		}
	}
	if len(spec.Endpoints) == 0 {
		return spec, fmt.Errorf("node %s has neither an ExternalIP nor an InternalIP", v.node.Name)
	}
	for _, addr := range underlayAddresses(v.node) {
		spec.UnderlayAddresses = append(spec.UnderlayAddresses, v1alpha1.IPAddress(addr.String()))
	}
	if v.pending() != "" {
		return spec, nil
	}
	cs := v.clusterSet
	tunnel, err := plan.TunnelAddresses(cs.Spec.TransitCIDR, cs.Spec.ClusterSetID, cs.Status.Index, *v.gateway.Status.Lane)
	for _, addr := range tunnel {
		spec.TunnelAddresses = append(spec.TunnelAddresses, v1alpha1.IPAddress(addr.String()))
	}
	return spec, err
}

// readyCondition says how the gateway is.
func readyCondition(o *outcome) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse}
	switch {
	case o.err != nil:
		c.Reason, c.Message = reasonOf(o.err), o.err.Error()
	case o.pending != "":
		c.Reason, c.Message = v1alpha1.ReasonPending, o.pending
	default:
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonReady
		c.Message = readyMessage(o.plan)
	}
	return c
}

func reasonOf(err error) string {
	switch {
	case errors.Is(err, wireguard.ErrNoKernelSupport):
		return v1alpha1.ReasonKernelModuleMissing
	case errors.Is(err, wireguard.ErrNotPermitted):
		return v1alpha1.ReasonNotPermitted
	case errors.Is(err, errKey):
		return reasonKeyUnavailable
	}
	return v1alpha1.ReasonKernelError
}

// reasonKeyUnavailable: the Secret with the gateways' keys is missing, or holds no key for this node.
const reasonKeyUnavailable = "KeyUnavailable"

func readyMessage(p plan.Config) string {
	lines := []string{fmt.Sprintf("%d links on %d devices", len(p.Links), len(p.WireGuard.Devices))}
	for _, w := range p.Warnings {
		name := "cluster " + string(w.Cluster)
		if w.Gateway != "" {
			name += ", gateway " + w.Gateway
		}
		lines = append(lines, name+": "+w.Message)
	}
	return strings.Join(lines, "; ")
}

// writeReady writes the condition if it says something new.
func (a *Agent) writeReady(ctx context.Context, g *v1alpha1.GatewayNode, c metav1.Condition) error {
	c.ObservedGeneration = g.Generation
	c.LastTransitionTime = metav1.Now()
	if old := meta.FindStatusCondition(g.Status.Conditions, c.Type); old != nil {
		if old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
		if *old == c {
			return nil
		}
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&c)
	if err != nil {
		return fmt.Errorf("encoding condition %s: %w", c.Type, err)
	}
	u := applied("GatewayNode", g.Namespace, g.Name, "status", map[string]any{"conditions": []any{content}})
	return a.applyStatus(ctx, u)
}

// writeLinks writes this gateway's entry in each RemoteCluster where it says something new.
func (a *Agent) writeLinks(ctx context.Context, remotes []v1alpha1.RemoteCluster, o *outcome) error {
	var errs []error
	for _, r := range remotes {
		i := slices.IndexFunc(r.Status.Links, func(l v1alpha1.GatewayLinks) bool { return l.Gateway == a.cfg.NodeName })
		var old []v1alpha1.Link
		if i >= 0 {
			old = r.Status.Links[i].Links
		}
		links := linksOf(v1alpha1.ClusterID(r.Name), o, old)
		if equality.Semantic.DeepEqual(links, old) {
			continue
		}
		err := a.applyLinks(ctx, r.Name, links)
		if err == nil {
			tellLinks(ctx, r.Name, old, links)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// tellLinks says in the log which links have come up or gone down.
func tellLinks(ctx context.Context, cluster string, before, now []v1alpha1.Link) {
	for _, link := range now {
		if slices.ContainsFunc(before, func(b v1alpha1.Link) bool { return b.RemoteGateway == link.RemoteGateway && b.State == link.State }) {
			continue
		}
		logr.FromContextOrDiscard(ctx).Info("link is "+string(link.State), "cluster", cluster, "remoteGateway", link.RemoteGateway,
			"since", link.Since.UTC(), "message", link.Message)
	}
}

func (a *Agent) applyLinks(ctx context.Context, cluster string, links []v1alpha1.Link) error {
	status := map[string]any{}
	if len(links) > 0 {
		entry, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&v1alpha1.GatewayLinks{Gateway: a.cfg.NodeName, Links: links})
		if err != nil {
			return fmt.Errorf("encoding links to %s: %w", cluster, err)
		}
		status["links"] = []any{entry}
	}
	return a.applyStatus(ctx, applied("RemoteCluster", "", cluster, "status", status))
}

func (a *Agent) applyStatus(ctx context.Context, u *unstructured.Unstructured) error {
	err := a.cfg.Client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), a.owner(), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("writing status of %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	return nil
}

// applied is the object with the one field that is applied.
func applied(kind, namespace, name, field string, content map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{field: content}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

// linksOf is how this gateway's links to the cluster are, by the remote gateways' names; nil if there are none. What
// has not changed since old is the same as there.
func linksOf(cluster v1alpha1.ClusterID, o *outcome, old []v1alpha1.Link) []v1alpha1.Link {
	var links []v1alpha1.Link
	for _, l := range o.plan.Links {
		s, ok := o.statuses[linkName(l.LinkID)]
		if l.Cluster != cluster || !ok {
			continue
		}
		link := v1alpha1.Link{
			RemoteGateway: l.Gateway, State: s.State, Since: metav1.NewTime(s.Since.Truncate(time.Second)),
			Message: linkMessage(l, s.State, o.alive[l.LinkID]),
		}
		var before v1alpha1.Link
		if i := slices.IndexFunc(old, func(p v1alpha1.Link) bool { return p.RemoteGateway == l.Gateway }); i >= 0 {
			before = old[i]
		}
		if before.State == link.State && !before.Since.IsZero() {
			link.Since = before.Since
		}
		if link.State == v1alpha1.LinkUp {
			link.RTTMilliseconds = roundRTT(before.RTTMilliseconds, s.RTT)
		}
		links = append(links, link)
	}
	slices.SortFunc(links, func(x, y v1alpha1.Link) int { return compareText(x.RemoteGateway, y.RemoteGateway) })
	return links
}

// linkMessage says what to look at when a link is not up.
func linkMessage(l plan.Link, state v1alpha1.LinkState, alive bool) string {
	switch {
	case state == v1alpha1.LinkUp:
		return ""
	case alive:
		return fmt.Sprintf("WireGuard has a session, but probes to %s are not answered: is its gateway agent running?", l.TunnelAddress)
	}
	return fmt.Sprintf("no answer to WireGuard handshakes with %s: does UDP pass between this node and %s?", l.Endpoint, l.Endpoint)
}

const (
	// rttSlack and rttSlackShare are how far the mean may be from the published round trip before that is published
	// anew: 5 ms, or a quarter of it.
	rttSlack      = 5 * time.Millisecond
	rttSlackShare = 4
)

// roundRTT is the round trip to publish, in whole milliseconds, 1 at least if one was measured. It stays what it was
// while the mean is about that.
func roundRTT(before int32, mean time.Duration) int32 {
	published := time.Duration(before) * time.Millisecond
	if mean == 0 || before != 0 && (mean-published).Abs() <= max(rttSlack, published/rttSlackShare) {
		return before
	}
	return int32(max(mean.Round(time.Millisecond)/time.Millisecond, 1))
}

func compareText(a, b string) int { return cmp.Compare(a, b) }
