package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/plan"
)

const (
	// leaveWrite bounds the write of Draining when the agent ends: the API server may be away.
	leaveWrite = 3 * time.Second
	// leaveWait is how long an agent that ends still answers probes and says that it drains, so that
	// others leave it before it is silent.
	leaveWait = 2 * time.Second
)

// drainTaints are the taints that announce that a node goes away.
func drainTaints() map[string]string {
	return map[string]string{
		"ToBeDeletedByClusterAutoscaler":              v1alpha1.ReasonNodeRemoval,
		"karpenter.sh/disrupted":                      v1alpha1.ReasonNodeRemoval,
		"karpenter.sh/disruption":                     v1alpha1.ReasonNodeRemoval, // before Karpenter 1.0
		"node.cloudprovider.kubernetes.io/shutdown":   v1alpha1.ReasonNodeShutdown,
		"cloud.google.com/impending-node-termination": v1alpha1.ReasonNodeShutdown,
	}
}

// phase is where an agent is in its life.
type phase int

const (
	// starting: nothing is known yet of the links to some cluster.
	starting phase = iota
	running
	// stopping: the agent is about to end.
	stopping
)

// settleTime is how long an agent that has started waits for the first answers on its links. What
// does not answer by then is not there.
const settleTime = 5 * time.Second

// phase of this agent.
func (a *Agent) phase() phase {
	switch {
	case a.stopping.Load():
		return stopping
	case a.settled.Load():
		return running
	}
	return starting
}

// settle ends the starting phase if the pass's links are known: flows may come. Links that were up
// when an earlier agent ended are up at once.
func (a *Agent) settle(r *tunnelResult, now time.Time) {
	if a.settled.Load() || r.err != nil || r.pending != "" {
		return
	}
	views := linksByStatus(r.plan.Links, r.statuses, true, now)
	for _, c := range r.plan.Clusters {
		if len(c.Links) > 0 && !slices.ContainsFunc(c.Links, func(l plan.Link) bool { return !views[l.LinkID].New }) {
			return
		}
	}
	a.settled.Store(true)
	a.tunnels.Mark() // the probes have to say so
}

// drainingCondition is the condition Draining: whether flows should leave this gateway, and why. It
// depends on the Node, and on where the agent is in its life.
func drainingCondition(node *corev1.Node, p phase) metav1.Condition {
	reason, message := drainReason(node)
	switch {
	case reason != "":
	case p == stopping:
		reason, message = v1alpha1.ReasonAgentStopping, "the gateway agent on node "+node.Name+" is stopping; the node forwards on, and the next agent clears this"
	case p == starting:
		reason, message = v1alpha1.ReasonAgentStarting, "the gateway agent on node "+node.Name+" has just started; this clears when its links are up, or after a few seconds"
	}
	if reason == "" {
		return metav1.Condition{Type: v1alpha1.ConditionDraining, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNotDraining}
	}
	return metav1.Condition{Type: v1alpha1.ConditionDraining, Status: metav1.ConditionTrue, Reason: reason, Message: message}
}

// drainReason is why the Node's gateway should be left; empty if it should not.
func drainReason(node *corev1.Node) (reason, message string) {
	if node.Labels[v1alpha1.LabelGateway] != "true" {
		return v1alpha1.ReasonLabelRemoved, fmt.Sprintf("node %s has no label %s=true any more", node.Name, v1alpha1.LabelGateway)
	}
	taints := drainTaints()
	for _, t := range node.Spec.Taints {
		if reason := taints[t.Key]; reason != "" {
			return reason, fmt.Sprintf("node %s has the taint %s: it is about to go away", node.Name, t.Key)
		}
	}
	switch {
	case node.Annotations[v1alpha1.AnnotationGatewayDrain] == "true":
		return v1alpha1.ReasonDrainRequested, fmt.Sprintf("node %s has the annotation %s=true; remove it to end the drain", node.Name, v1alpha1.AnnotationGatewayDrain)
	case node.Spec.Unschedulable:
		return v1alpha1.ReasonUnschedulable, fmt.Sprintf("node %s is cordoned; kubectl uncordon %s ends the drain", node.Name, node.Name)
	}
	return "", ""
}

// nextDraining is the condition to write. What the agent before this one said stays until this one
// has made the kernel what it should be: the kernel may carry flows all the while.
func nextDraining(g *v1alpha1.GatewayNode, node *corev1.Node, p phase, r *tunnelResult) metav1.Condition {
	next := drainingCondition(node, p)
	before := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionDraining)
	good := r != nil && r.err == nil && r.pending == ""
	if next.Reason == v1alpha1.ReasonAgentStarting && before != nil && !good &&
		(before.Reason == v1alpha1.ReasonAgentStopping || before.Reason == v1alpha1.ReasonNotDraining) {
		return *before
	}
	return next
}

// SetDraining says that this agent is about to end, or that it is not. Each probe says so at once,
// the GatewayNode soon. The kernel stays as it is: what comes is forwarded.
func (a *Agent) SetDraining(draining bool) {
	a.stopping.Store(draining)
	a.prober.setDraining(draining)
	a.Changed()
}

// noteDraining makes the probes say whether flows should leave this gateway.
func (a *Agent) noteDraining(node *corev1.Node) {
	a.prober.setDraining(meta.IsStatusConditionTrue([]metav1.Condition{drainingCondition(node, a.phase())}, v1alpha1.ConditionDraining))
}

// leave has others leave this gateway before the agent ends: it says so in the probes and in the
// GatewayNode. If there is no other gateway, nobody can, and it does not wait.
func (a *Agent) leave(ctx context.Context) {
	log := logr.FromContextOrDiscard(ctx)
	siblings, err := a.hasSiblings(ctx)
	if err != nil {
		log.Error(err, "cannot tell whether there are other gateways")
	}
	a.SetDraining(true)
	begin := time.Now()
	if err := a.writeLeaving(ctx); err != nil {
		log.Error(err, "the GatewayNode does not say that this gateway drains")
	}
	if siblings {
		wait(ctx, leaveWait-time.Since(begin))
		if err := a.yield(ctx); err != nil {
			log.Error(err, "this node's own packets still use its tunnels")
		}
	}
	log.Info("others were told to leave this gateway", "siblings", siblings, "elapsed", time.Since(begin).Round(time.Millisecond))
}

// writeLeaving writes the condition between two passes of the status loop.
func (a *Agent) writeLeaving(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaveWrite)
	defer cancel()
	var err error
	asked := a.status.Ask(ctx, func() {
		var o objects
		if o, err = a.readObjects(ctx); err == nil && o.gateway != nil {
			err = a.writeConditions(ctx, o.gateway, nextDraining(o.gateway, o.node, stopping, nil))
		}
	})
	return errors.Join(asked, err)
}

// noteLabel leads this node's own packets over the siblings some time after the node has lost the
// label, as yield does. It does not wait for the agent's end: the kubelet may take its time.
func (a *Agent) noteLabel(node *corev1.Node, now time.Time) {
	if reason, _ := drainReason(node); reason != v1alpha1.ReasonLabelRemoved {
		a.unlabelled = time.Time{}
		a.leaving.Store(false)
		return
	}
	if a.unlabelled.IsZero() {
		a.unlabelled = now
		time.AfterFunc(leaveWait, a.tunnels.Mark)
	}
	if now.Sub(a.unlabelled) >= leaveWait {
		a.leaving.Store(true)
	}
}

// yield leads this node's own packets over the siblings if the node is no gateway any more: when its
// GatewayNode goes, the other clusters remove their ends of the tunnels, each at its own time.
func (a *Agent) yield(ctx context.Context) error {
	o, err := a.readObjects(ctx)
	if err != nil || o.node == nil {
		return err
	}
	if reason, _ := drainReason(o.node); reason != v1alpha1.ReasonLabelRemoved {
		return nil
	}
	a.leaving.Store(true)
	change, err := a.routeWriter.move(ctx, a.view)
	a.logRoutes(ctx, change)
	return err
}

// hasSiblings reports whether there is another gateway in this cluster.
func (a *Agent) hasSiblings(ctx context.Context) (bool, error) {
	var all v1alpha1.GatewayNodeList
	if err := a.cfg.Client.List(ctx, &all, client.InNamespace(a.cfg.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("listing GatewayNodes: %w", err)
	}
	for i := range all.Items {
		if g := &all.Items[i]; g.Name != a.cfg.NodeName && g.Status.Lane != nil && g.DeletionTimestamp == nil {
			return true, nil
		}
	}
	return false, nil
}

// wait returns after that time, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
