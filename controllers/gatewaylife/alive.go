package gatewaylife

import (
	"context"
	"fmt"
	"maps"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/apply"
)

const (
	// refresh is how old the published time of a heartbeat may be while the gateway lives.
	refresh = time.Minute
	// notReadyFor is how long the Node of a gateway that renews no Lease, because its agent is of an
	// older version, may be not ready before the gateway counts as dead.
	notReadyFor = time.Minute
	// fieldOwner of the fields of a GatewayNode's status that this package writes.
	fieldOwner = client.FieldOwner("tombolo-operator-alive")
	// reasonRemoved is the reason of the event for a GatewayNode that was removed.
	reasonRemoved = "Removed"
)

// life is what this package writes into a GatewayNode's status.
type life struct {
	// alive is nil if nothing is known, which counts as alive.
	alive *metav1.Condition
	// heartbeat is when the gateway was last seen to renew its Lease; nil if never.
	heartbeat *metav1.Time
}

// reportLife writes whether the gateway lives, if that differs from what is there. The result is
// when to look again if nothing is heard; zero: an event will tell.
func (r *Reconciler) reportLife(ctx context.Context, gateway *v1alpha1.GatewayNode, node *corev1.Node, beat *heartbeat) (time.Duration, error) {
	lease, err := r.lease(ctx, r.Client, gateway.Name)
	if err != nil {
		return 0, err
	}
	have := lifeIn(gateway)
	if lease == nil {
		*beat = heartbeat{}
		want, wait := lifeWithoutLease(have, gateway.Name, node, r.Now())
		return wait, r.writeLife(ctx, gateway, have, want)
	}
	beat.see(lease, r.Now())
	if beat.doubtful(r.Now()) {
		if lease, err = r.lease(ctx, r.Direct, gateway.Name); err != nil || lease == nil {
			return recheck, err // if it is gone, the cache will say so
		}
		beat.see(lease, r.Now())
		if now := r.Now(); beat.doubtful(now) {
			beat.confirm(now)
		}
	}
	now := r.Now()
	want := lifeByLease(have, gateway.Name, lease, beat, now)
	if beat.pulse(now) == stopped {
		return 0, r.writeLife(ctx, gateway, have, want)
	}
	return max(beat.dueIn(now), time.Millisecond), r.writeLife(ctx, gateway, have, want)
}

// lifeIn is what the GatewayNode says already.
func lifeIn(gateway *v1alpha1.GatewayNode) life {
	return life{alive: meta.FindStatusCondition(gateway.Status.Conditions, v1alpha1.ConditionAlive), heartbeat: gateway.Status.LastHeartbeatTime}
}

// lifeByLease is what follows from the heartbeat. As long as that says nothing, what is there stays:
// after an operator's restart nobody is dead or alive until it was seen.
func lifeByLease(have life, gateway string, lease *coordinationv1.Lease, beat *heartbeat, now time.Time) life {
	switch beat.pulse(now) {
	case beating:
		want := life{heartbeat: have.heartbeat, alive: &metav1.Condition{
			Type: v1alpha1.ConditionAlive, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonHeartbeat,
			Message: "the gateway renews its Lease",
		}}
		wasDead := have.alive == nil || have.alive.Status != metav1.ConditionTrue
		if have.heartbeat == nil || wasDead || beat.since.Sub(have.heartbeat.Time) >= refresh {
			want.heartbeat = new(metav1.NewTime(beat.since.Truncate(time.Second)))
		}
		return want
	case stopped:
		last := have.heartbeat
		if beat.witnessed {
			last = new(metav1.NewTime(beat.since.Truncate(time.Second)))
		}
		return life{heartbeat: last, alive: &metav1.Condition{
			Type: v1alpha1.ConditionAlive, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNoHeartbeat,
			Message: fmt.Sprintf("no heartbeat since %s: check that node %s is up, that its pod of DaemonSet tombolo-gateway runs, and that it reaches the API server",
				lastSeen(last, lease), gateway),
		}}
	}
	return have
}

// lastSeen is the time of the last heartbeat, for a message. If the operator did not see it, it is
// the gateway's own time.
func lastSeen(seen *metav1.Time, lease *coordinationv1.Lease) string {
	switch {
	case seen != nil:
		return seen.UTC().Format(time.RFC3339)
	case lease.Spec.RenewTime != nil:
		return lease.Spec.RenewTime.UTC().Format(time.RFC3339)
	}
	return "the operator started"
}

// lifeWithoutLease is what follows from the Node alone: the agent is of a version that renews no
// Lease, or has not renewed it yet. The result is when the Node has to be looked at again.
func lifeWithoutLease(have life, gateway string, node *corev1.Node, now time.Time) (life, time.Duration) {
	since, ready := readiness(node)
	wait := since.Add(notReadyFor).Sub(now)
	switch {
	case (ready || wait > 0) && have.alive == nil:
		return have, max(wait, 0)
	case ready || wait > 0:
		return life{heartbeat: have.heartbeat, alive: &metav1.Condition{
			Type: v1alpha1.ConditionAlive, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonNoLease,
			Message: "the gateway has no Lease: its agent is of an older version, or has just started",
		}}, max(wait, 0)
	}
	return life{heartbeat: have.heartbeat, alive: &metav1.Condition{
		Type: v1alpha1.ConditionAlive, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNodeNotReady,
		Message: fmt.Sprintf("node %s is not ready since %s: check that it is up and that its kubelet runs; delete the Node if it does not come back",
			gateway, since.UTC().Format(time.RFC3339)),
	}}, 0
}

// readiness tells whether the Node is ready, or since when not. A Node that says nothing is ready.
func readiness(node *corev1.Node) (since time.Time, ready bool) {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue {
			return c.LastTransitionTime.Time, false
		}
	}
	return time.Time{}, true
}

// writeLife writes what differs with server-side apply: the gateway writes other conditions in the
// same list.
func (r *Reconciler) writeLife(ctx context.Context, gateway *v1alpha1.GatewayNode, have, want life) error {
	if want.alive != nil && want.alive != have.alive {
		want.alive.LastTransitionTime = metav1.NewTime(r.Now().Truncate(time.Second))
		if have.alive != nil && have.alive.Status == want.alive.Status {
			want.alive.LastTransitionTime = have.alive.LastTransitionTime
		}
	}
	if equality.Semantic.DeepEqual(have.alive, want.alive) && equality.Semantic.DeepEqual(have.heartbeat, want.heartbeat) {
		return nil
	}
	object, err := want.object(gateway)
	if err != nil {
		return err
	}
	if err := apply.Status(ctx, r.Client, fieldOwner, object); err != nil {
		return fmt.Errorf("writing whether gateway %s is alive: %w", gateway.Name, err)
	}
	r.reportChange(ctx, gateway, have.alive, want.alive)
	return nil
}

// object is what server-side apply writes. What it lacks is removed.
func (l life) object(gateway *v1alpha1.GatewayNode) (*unstructured.Unstructured, error) {
	status := map[string]any{}
	if l.alive != nil {
		condition, err := runtime.DefaultUnstructuredConverter.ToUnstructured(l.alive)
		if err != nil {
			return nil, fmt.Errorf("encoding condition %s: %w", l.alive.Type, err)
		}
		conditions := []any{condition}
		if l.alive.Status == metav1.ConditionFalse {
			// A dead gateway cannot withdraw its condition Ready. Tools that wait for that look at Stalled,
			// too.
			stalled := maps.Clone(condition)
			stalled["type"], stalled["status"] = v1alpha1.ConditionStalled, string(metav1.ConditionTrue)
			conditions = append(conditions, stalled)
		}
		status["conditions"] = conditions
	}
	if l.heartbeat != nil {
		status["lastHeartbeatTime"] = l.heartbeat.UTC().Format(time.RFC3339)
	}
	u := &unstructured.Unstructured{Object: map[string]any{"status": status}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("GatewayNode"))
	u.SetNamespace(gateway.Namespace)
	u.SetName(gateway.Name)
	return u, nil
}

// reportChange makes an event when a gateway dies or comes back.
func (r *Reconciler) reportChange(ctx context.Context, gateway *v1alpha1.GatewayNode, before, now *metav1.Condition) {
	dead := func(c *metav1.Condition) bool { return c != nil && c.Status == metav1.ConditionFalse }
	switch {
	case dead(now) && !dead(before):
		r.report(ctx, gateway, corev1.EventTypeWarning, now.Reason, now.Message)
	case dead(before) && now != nil && !dead(now):
		r.report(ctx, gateway, corev1.EventTypeNormal, now.Reason, now.Message)
	}
}

func (r *Reconciler) report(ctx context.Context, gateway *v1alpha1.GatewayNode, kind, reason, message string) {
	logf.FromContext(ctx).Info("gateway changed", "reason", reason, "message", message)
	r.Events.Eventf(gateway, nil, kind, reason, "Watch", "%s", message)
}
