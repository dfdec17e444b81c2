package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

const (
	// maxNamed is how many virtual services a condition names.
	maxNamed = 3
	// maxMessage is how long a condition's message may be: nft repeats what it did not like.
	maxMessage = 2048
)

// report sets metrics and readiness, and the node's condition where it differs. Unless the Node may have changed since the
// last report, it looks at it only if there is something else to say.
func (a *Agent) report(ctx context.Context, changed bool) {
	n := a.node
	if len(n.skips.fresh) > 0 || n.skips.backend != n.servingBy {
		a.tellSkipped(time.Now())
	}
	a.tellRemarks()
	a.cfg.Metrics.observe(n)
	status, reason, message := corev1.ConditionTrue, v1alpha1.ReasonReady, n.summary()
	if err := n.problems.first(); err != nil {
		status, reason, message = corev1.ConditionFalse, reasonOf(err), strings.Join(strings.Fields(err.Error()), " ") // nft writes lines
		message = message[:min(len(message), maxMessage)]
		a.problem.Store(&message)
	} else {
		a.problem.Store(nil)
	}
	said := saying{status, reason, message}
	if !changed && n.said == said {
		return
	}
	n.said = saying{}
	if err := a.setCondition(ctx, status, reason, message); err != nil && ctx.Err() == nil {
		a.cfg.Metrics.syncErrors.WithLabelValues("condition").Inc()
		if n.problems.set("condition", err) {
			a.log(ctx).Error(err, "condition not written")
		}
		return
	}
	n.problems.set("condition", nil)
	n.said = said
}

// saying is what a node's condition says.
type saying struct {
	status          corev1.ConditionStatus
	reason, message string
}

// summary of a node that is as planned. It has no numbers that change with every service.
func (n *node) summary() string {
	parts := []string{n.verdict.why}
	if n.verdict.warning != "" {
		parts = append(parts, n.verdict.warning)
	}
	if names := n.foreign(); len(names) > 0 {
		parts = append(parts, "virtual services inside the VIP CIDR that tombolo did not make are left alone: "+firstOf(names))
	}
	if ports := n.skips.crowdedPorts(n.servingBy); len(ports) > 0 {
		parts = append(parts, "not all endpoints get flows, as there are more than this backend shares flows among: "+firstOf(ports))
	}
	parts = append(parts, n.remarks()...)
	return strings.Join(append(parts, n.drift...), "; ")
}

func (n *node) remarks() []string {
	if n.serving == nil {
		return nil
	}
	return n.serving.remarks()
}

// tellRemarks makes an event of remarks that are new.
func (a *Agent) tellRemarks() {
	remarks := strings.Join(a.node.remarks(), "; ")
	if remarks != "" && remarks != a.node.remarked {
		a.event(corev1.EventTypeWarning, reasonFull, "Serve", remarks)
	}
	a.node.remarked = remarks
}

// firstOf names the first things and counts the others.
func firstOf(names []string) string {
	if more := len(names) - maxNamed; more > 0 {
		names = append(names[:maxNamed:maxNamed], fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
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
	condition := corev1.NodeCondition{Type: v1alpha1.NodeConditionDataplane, Status: status, Reason: reason, Message: message}
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
	condition.LastHeartbeatTime = metav1.Now()
	if condition.LastTransitionTime.IsZero() {
		condition.LastTransitionTime = condition.LastHeartbeatTime
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
