package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/plan"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/apply"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
)

// writeTimeout bounds a pass over the API objects.
const writeTimeout = 15 * time.Second

// fieldOwnerPrefix and the node's name make the owner of the gateway's fields in server-side apply.
const fieldOwnerPrefix = "tombolo-gateway-"

// statusPass brings what the API server holds of this gateway up to date: the key, the GatewayNode,
// its condition, the links.
func (a *Agent) statusPass(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	keyErr := a.settleKey(ctx)
	key, known := a.privateKey()
	if !known {
		return errors.Join(keyErr, a.reportKey(ctx, keyErr))
	}
	o, err := a.readObjects(ctx)
	if err != nil {
		return err
	}
	if o.clusterSet == nil {
		return nil
	}
	r := a.lastResult()
	published := endpointsToPublish(o, r)
	errs := []error{keyErr}
	if r != nil || o.gateway == nil || o.gateway.Spec.PublicKey == key.Public().String() {
		errs = append(errs, a.writeSpec(ctx, o, key, published))
	} // else others would end the old key's sessions, which this node's own packets still use
	if o.gateway == nil {
		return errors.Join(errs...)
	}
	conditions := []metav1.Condition{nextDraining(o.gateway, o.node, a.phase(), r)}
	if r != nil {
		conditions = append(conditions, readyCondition(r, published.fault, keyErr))
	}
	errs = append(errs, a.writeConditions(ctx, o.gateway, conditions...))
	if r != nil && r.planned {
		errs = append(errs, a.writeLinks(ctx, o.remotes, r))
	}
	return errors.Join(errs...)
}

// reportKey writes the error about the key into the condition of a GatewayNode that an earlier run
// has made.
func (a *Agent) reportKey(ctx context.Context, keyErr error) error {
	o, err := a.readObjects(ctx)
	if err != nil || o.gateway == nil {
		return err
	}
	return a.writeConditions(ctx, o.gateway, readyCondition(&tunnelResult{err: keyErr}, "", nil))
}

// owner is this gateway's field owner.
func (a *Agent) owner() client.FieldOwner {
	return client.FieldOwner(fieldOwnerPrefix + a.cfg.NodeName)
}

// writeSpec writes into this node's GatewayNode how the gateway can be reached. It does not make the
// GatewayNode again when the node has lost the label: the operator has deleted it.
func (a *Agent) writeSpec(ctx context.Context, o objects, key wireguard.PrivateKey, e endpoints) error {
	if o.gateway == nil && o.node.Labels[v1alpha1.LabelGateway] != "true" {
		return nil
	}
	spec, err := gatewaySpec(o, key, e)
	if err != nil {
		return err
	}
	if o.gateway != nil && equality.Semantic.DeepEqual(o.gateway.Spec, spec) {
		return nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&spec)
	if err != nil {
		return fmt.Errorf("encoding GatewayNode %s: %w", a.cfg.NodeName, err)
	}
	u := partial("GatewayNode", a.cfg.Namespace, a.cfg.NodeName, "spec", content)
	if err := apply.Object(ctx, a.cfg.Client, a.owner(), u); err != nil {
		return fmt.Errorf("writing GatewayNode %s/%s: %w", a.cfg.Namespace, a.cfg.NodeName, err)
	}
	return nil
}

// gatewaySpec is what the gateway publishes about itself, with those endpoints.
func gatewaySpec(o objects, key wireguard.PrivateKey, e endpoints) (v1alpha1.GatewayNodeSpec, error) {
	spec := v1alpha1.GatewayNodeSpec{NodeName: o.node.Name, PublicKey: key.Public().String(), Endpoints: e.list}
	if len(spec.Endpoints) == 0 {
		return spec, errors.New(e.fault)
	}
	for _, addr := range clusterset.InternalIPs(o.node) {
		spec.UnderlayAddresses = append(spec.UnderlayAddresses, v1alpha1.IPAddress(addr.String()))
	}
	if o.pending() != "" {
		return spec, nil
	}
	cs := o.clusterSet
	tunnel, err := plan.TunnelAddresses(cs.Spec.TransitCIDR, cs.Spec.ClusterSetID, cs.Status.Index, *o.gateway.Status.Lane)
	for _, addr := range tunnel {
		spec.TunnelAddresses = append(spec.TunnelAddresses, v1alpha1.IPAddress(addr.String()))
	}
	return spec, err
}

// readyCondition is the condition Ready of the GatewayNode after that pass over the tunnels. fault
// is what is wrong with the endpoints that the user wants, keyErr with the private key that is in use.
func readyCondition(r *tunnelResult, fault string, keyErr error) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse}
	switch {
	case r.err != nil:
		c.Reason, c.Message = reasonOf(r.err), r.err.Error()
	case r.pending != "":
		c.Reason, c.Message = v1alpha1.ReasonPending, r.pending
	case errors.Is(keyErr, errKey):
		c.Reason, c.Message = reasonKeyUnavailable, keyErr.Error()
	case fault != "":
		c.Reason, c.Message = v1alpha1.ReasonInvalidEndpoint, fault
	default:
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonReady
		c.Message = readyMessage(r)
	}
	return c
}

func reasonOf(err error) string {
	switch {
	case errors.Is(err, wireguard.ErrNoKernelSupport):
		return v1alpha1.ReasonKernelModuleMissing
	case errors.Is(err, wireguard.ErrNotPermitted):
		return v1alpha1.ReasonNotPermitted
	case errors.Is(err, wireguard.ErrNoTUN):
		return reasonTUNUnavailable
	case errors.Is(err, firewall.ErrBlocked):
		return v1alpha1.ReasonFirewallDrops
	case errors.Is(err, syscall.EADDRINUSE):
		return v1alpha1.ReasonPortInUse
	case errors.Is(err, errKey):
		return reasonKeyUnavailable
	}
	return v1alpha1.ReasonKernelError
}

// reasonTUNUnavailable: userspace WireGuard is asked for, and this container cannot use
// /dev/net/tun.
const reasonTUNUnavailable = "TUNUnavailable"

// reasonKeyUnavailable: the node's key file cannot be read or written.
const reasonKeyUnavailable = "KeyUnavailable"

func readyMessage(r *tunnelResult) string {
	p := r.plan
	lines := []string{fmt.Sprintf("%d links on %d devices", len(p.Links), len(p.WireGuard.Devices))}
	if r.userspace != "" {
		lines = append(lines, r.userspace)
	}
	for _, w := range p.Warnings {
		if w.Cluster == "" {
			lines = append(lines, w.Message)
			continue
		}
		name := "cluster " + string(w.Cluster)
		if w.Gateway != "" {
			name += ", gateway " + w.Gateway
		}
		lines = append(lines, name+": "+w.Message)
	}
	return strings.Join(lines, "; ")
}

// writeConditions writes the conditions if one differs from what is there. It writes all that this
// agent owns: server-side apply removes what an owner leaves out.
func (a *Agent) writeConditions(ctx context.Context, g *v1alpha1.GatewayNode, changes ...metav1.Condition) error {
	var conditions []metav1.Condition
	for _, owned := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionDraining} {
		if c := meta.FindStatusCondition(g.Status.Conditions, owned); c != nil {
			conditions = append(conditions, *c)
		}
	}
	changed := false
	for _, c := range changes {
		c.ObservedGeneration = g.Generation
		changed = meta.SetStatusCondition(&conditions, c) || changed
	}
	if !changed {
		return nil
	}
	list := make([]any, 0, len(conditions))
	for i := range conditions {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&conditions[i])
		if err != nil {
			return fmt.Errorf("encoding condition %s: %w", conditions[i].Type, err)
		}
		list = append(list, content)
	}
	return a.applyStatus(ctx, partial("GatewayNode", g.Namespace, g.Name, "status", map[string]any{"conditions": list}))
}

func (a *Agent) applyStatus(ctx context.Context, u *unstructured.Unstructured) error {
	if err := apply.Status(ctx, a.cfg.Client, a.owner(), u); err != nil {
		return fmt.Errorf("writing status of %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	return nil
}

// partial is an object with the one field that server-side apply is to write.
func partial(kind, namespace, name, field string, content map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{field: content}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}
