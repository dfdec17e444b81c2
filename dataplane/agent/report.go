package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// maxForeign is how many foreign virtual services a condition names.
const maxForeign = 3

// report sets metrics and readiness, and the node's condition where it differs.
func (a *Agent) report(ctx context.Context) {
	n := a.node
	a.cfg.Metrics.observe(n)
	status, reason, message := corev1.ConditionTrue, v1alpha1.ReasonReady, n.summary()
	if err := n.problems.first(); err != nil {
		status, reason, message = corev1.ConditionFalse, reasonOf(err), err.Error()
		a.problem.Store(&message)
	} else {
		a.problem.Store(nil)
	}
	if err := a.setCondition(ctx, status, reason, message); err != nil && ctx.Err() == nil {
		a.cfg.Metrics.syncErrors.WithLabelValues("condition").Inc()
		if n.problems.set("condition", err) {
			a.log(ctx).Error(err, "condition not written")
		}
		return
	}
	n.problems.set("condition", nil)
}

// summary of a node that is as planned. It has no numbers that change with every service.
func (n *node) summary() string {
	parts := []string{n.verdict.why}
	if n.verdict.warning != "" {
		parts = append(parts, n.verdict.warning)
	}
	if names := n.foreign(); len(names) > 0 {
		if more := len(names) - maxForeign; more > 0 {
			names = append(names[:maxForeign:maxForeign], fmt.Sprintf("%d more", more))
		}
		parts = append(parts, "virtual services inside the VIP CIDR that tombolo did not make are left alone: "+strings.Join(names, ", "))
	}
	return strings.Join(append(parts, n.drift...), "; ")
}

func (n *node) foreign() []string {
	if n.serving == nil {
		return nil
	}
	return n.serving.foreign()
}

// setCondition patches the condition of this agent's own Node, if it differs from what the cache has.
func (a *Agent) setCondition(ctx context.Context, status corev1.ConditionStatus, reason, message string) error {
	var node corev1.Node
	if err := a.cfg.Client.Get(ctx, client.ObjectKey{Name: a.cfg.NodeName}, &node); err != nil {
		return client.IgnoreNotFound(err) // without a Node there is nothing to say it on
	}
	now := metav1.Now()
	condition := corev1.NodeCondition{
		Type: v1alpha1.NodeConditionDataplane, Status: status, Reason: reason, Message: message,
		LastHeartbeatTime: now, LastTransitionTime: now,
	}
	for _, old := range node.Status.Conditions {
		if old.Type != condition.Type {
			continue
		}
		if old.Status == status && old.Reason == reason && old.Message == message {
			return nil
		}
		if old.Status == status {
			condition.LastTransitionTime = old.LastTransitionTime
		}
	}
	if a.node.written == (writtenCondition{node.ResourceVersion, status, reason, message}) {
		return nil // the cache has not seen the last patch yet
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []corev1.NodeCondition{condition}}})
	if err != nil {
		return fmt.Errorf("encoding the condition of node %s: %w", a.cfg.NodeName, err)
	}
	target := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: a.cfg.NodeName}}
	if err := a.cfg.Client.Status().Patch(ctx, target, client.RawPatch("application/strategic-merge-patch+json", patch)); err != nil {
		return fmt.Errorf("writing the condition of node %s: %w", a.cfg.NodeName, err)
	}
	a.node.written = writtenCondition{node.ResourceVersion, status, reason, message}
	a.log(ctx).Info("condition changed", "status", status, "reason", reason, "message", message)
	return nil
}

// writtenCondition is the last patch, and the version of the Node that it was made from.
type writtenCondition struct {
	version         string
	status          corev1.ConditionStatus
	reason, message string
}
