package remotecluster

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/internal/skipped"
	"github.com/tombolo-net/tombolo/controllers/internal/status"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// reasonUnreachable is the reason of the event for a cluster to which no link is up any more.
const reasonUnreachable = "Unreachable"

// condition is Accepted for a refusal; nil means that nothing is refused.
func condition(refusal *clusterset.Refusal) *metav1.Condition {
	if refusal == nil {
		return &metav1.Condition{
			Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted,
			Message: "the member's index and CIDRs do not collide with any in use",
		}
	}
	return &metav1.Condition{
		Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: refusal.Reason, Message: refusal.Message,
	}
}

// absent is Accepted for a cluster whose Member the hub does not have. have is nil if nothing is known
// of it.
func absent(view hub.View, name string, have *v1alpha1.RemoteCluster) *metav1.Condition {
	was := ""
	if have != nil {
		was = fmt.Sprintf(" (it had spec.index %d and spec.cidrs %v)", have.Spec.Index, have.Spec.CIDRs)
	}
	return &metav1.Condition{
		Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonNotAMember,
		Message: fmt.Sprintf("the hub has no Member %s/%s: its endpoints stay imported, and what its exports may need of the ServiceImports; "+
			"create the Member again%s, with spec.removed: true if the cluster has left", view.Namespace, name, was),
	}
}

// reachable is the condition that follows from the links of the gateways that live. Where the links
// say nothing, nodes go by this condition (clusterset.Reachable).
func reachable(rc *v1alpha1.RemoteCluster, gateways localGateways) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionReachable, Status: metav1.ConditionFalse}
	links := clusterset.LinksOf(rc, gateways.live)
	switch {
	case len(gateways.live) == 0 && len(gateways.dead) > 0:
		c.Reason = v1alpha1.ReasonNoLiveGateway
		c.Message = fmt.Sprintf("no gateway of this cluster gives a heartbeat: look at the nodes %s and at their pods of DaemonSet tombolo-gateway",
			clusterset.NameSome(gateways.dead))
	case links.Up > 0:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonLinkUp, fmt.Sprintf("%d of %d links are up", links.Up, links.Total)
		if f := clusterset.Flapping(rc, gateways.live); f != "" {
			c.Message += "; " + f
		}
	case len(rc.Spec.Gateways) == 0:
		c.Reason = v1alpha1.ReasonNoGateways
		c.Message = fmt.Sprintf("cluster %s publishes no gateway: label a node there %s=true", rc.Name, v1alpha1.LabelGateway)
	case strangers(rc, gateways) != "":
		c.Reason, c.Message = v1alpha1.ReasonNoLink, strangers(rc, gateways)
	case links.Total == 0:
		c.Reason = v1alpha1.ReasonNoLink
		c.Message = fmt.Sprintf("no gateway of this cluster has a link: label a node %s=true, and check that the gateway runs there", v1alpha1.LabelGateway)
	default:
		c.Reason = v1alpha1.ReasonNoLink
		c.Message = fmt.Sprintf("none of %d links is up: see status.links, and check that UDP passes between the gateways", links.Total)
	}
	return c
}

// content is ContentAccepted for what is skipped of the cluster's objects; nil if nothing is known
// yet.
func content(cluster string, skipped skipped.Summary) *metav1.Condition {
	switch {
	case skipped.Objects > 0:
		more := ""
		if n := skipped.Objects - len(skipped.Examples); n > 0 {
			more = fmt.Sprintf("; and %d more: see the operator's log and metric tombolo_import_skipped_total", n)
		}
		return &metav1.Condition{
			Type: v1alpha1.ConditionContentAccepted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonSkipped,
			Message: fmt.Sprintf("cluster %s publishes %d objects that are skipped, in whole or in part: %s%s",
				cluster, skipped.Objects, strings.Join(skipped.Examples, "; "), more),
		}
	case skipped.Settled:
		return &metav1.Condition{
			Type: v1alpha1.ConditionContentAccepted, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted,
			Message: "everything that the cluster publishes is used",
		}
	}
	return nil
}

// writeStatus writes Reachable, ContentAccepted and their summary, and Accepted unless it is nil. It
// writes nothing that is there already. The patch leaves out the links, which the gateways write,
// unless one of them is gone. Until the controllers have read all that the hub has, ContentAccepted
// stays as it is, and the result says when to come back.
func (r *Reconciler) writeStatus(ctx context.Context, current *v1alpha1.RemoteCluster, accepted *metav1.Condition) (reconcile.Result, error) {
	if current == nil {
		return reconcile.Result{}, nil
	}
	gateways, err := r.gateways(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	skipped := r.Skipped.Of(v1alpha1.ClusterID(current.Name))
	want := current.DeepCopy()
	summarize(&want.Status, current, gateways)
	for _, c := range []*metav1.Condition{accepted, new(reachable(current, gateways)), content(current.Name, skipped)} {
		if c != nil {
			status.SetConditions(current, &want.Status.Conditions, *c)
		}
	}
	status.Summarize(current, &want.Status.Conditions, v1alpha1.ConditionAccepted, v1alpha1.ConditionReachable)
	var result reconcile.Result
	if skipped.Objects == 0 && !meta.IsStatusConditionTrue(want.Status.Conditions, v1alpha1.ConditionContentAccepted) {
		result.RequeueAfter = r.Skipped.Settling()
	}
	patch := status.Patch
	if len(want.Status.Links) != len(current.Status.Links) {
		patch = status.PatchShared // the list is the gateways', too
	}
	if err := patch(ctx, r.Client, current, want); err != nil {
		return retry.Result(err)
	}
	r.reportReachable(ctx, current, want)
	r.reportAbsent(current, want)
	return result, nil
}

// reportReachable makes an event and a log line when a cluster becomes reachable or unreachable. A
// condition keeps only the last change.
func (r *Reconciler) reportReachable(ctx context.Context, before, now *v1alpha1.RemoteCluster) {
	was := meta.FindStatusCondition(before.Status.Conditions, v1alpha1.ConditionReachable)
	is := meta.FindStatusCondition(now.Status.Conditions, v1alpha1.ConditionReachable)
	if was != nil && was.Status == is.Status || was == nil && is.Status == metav1.ConditionFalse {
		return // nothing changed, or a new cluster is not reachable yet
	}
	kind, reason := corev1.EventTypeNormal, v1alpha1.ConditionReachable
	if is.Status == metav1.ConditionFalse {
		kind, reason = corev1.EventTypeWarning, reasonUnreachable
	}
	logf.FromContext(ctx).Info("reachability changed", "reachable", is.Status, "message", is.Message)
	r.Events.Eventf(now, nil, kind, reason, "Probe", "%s", is.Message)
}

// reportAbsent makes an event when the Member of a cluster is no longer on the hub.
func (r *Reconciler) reportAbsent(before, now *v1alpha1.RemoteCluster) {
	was := meta.FindStatusCondition(before.Status.Conditions, v1alpha1.ConditionAccepted)
	is := meta.FindStatusCondition(now.Status.Conditions, v1alpha1.ConditionAccepted)
	if is != nil && is.Reason == v1alpha1.ReasonNotAMember && (was == nil || was.Reason != is.Reason) {
		r.Events.Eventf(now, nil, corev1.EventTypeWarning, is.Reason, "Check", "%s", is.Message)
	}
}
