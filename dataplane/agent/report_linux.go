package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// maxMessage is the longest message of a condition, in bytes: nft repeats what it did not like.
const maxMessage = 2048

// condition is what a node's condition says.
type condition struct {
	status          corev1.ConditionStatus
	reason, message string
}

// reported is what the agent has reported, so that it does not say the same again.
type reported struct {
	// condition is what the condition said when it was last looked at; zero if that failed.
	condition condition
	// written is the condition of the last patch, and version that of the Node which it was made
	// from.
	written condition
	version string
	// remarks are those of the last report.
	remarks string
}

// unwritten reports whether the condition could not be looked at last time.
func (r *reported) unwritten() bool { return r.condition == condition{} }

// report sets metrics and readiness, and the node's condition where it differs. Unless the Node may
// have changed since the last report, it looks at the Node only if the condition has something else
// to say.
func (a *Agent) report(ctx context.Context, now time.Time, changed bool) {
	b := a.services.backend
	if by := b.Serves(); a.skips.changedFor(by) {
		a.reportSkipped(by, now)
	}
	remarks := b.Remarks()
	a.reportRemarks(remarks)
	a.reportGateways()
	a.problems.set("probes", a.gateways.failure)
	says := condition{corev1.ConditionTrue, v1alpha1.ReasonReady, a.summary(remarks)}
	if a.services.choice.Moved {
		says.reason = reasonContested
	}
	noGateway, others := a.gateways.verdicts.noLiveGateway(a.gateways.in, a.planner.network), a.others.problem()
	switch err := a.problems.first(); {
	case err != nil:
		says = failureCondition(err)
		a.problem.Store(&says.message)
	case noGateway != nil, a.podnet.problem != nil, others != nil:
		// The agent is ready all the same: another agent would be no better.
		says = failureCondition(cmp.Or(noGateway, a.podnet.problem, others))
		fallthrough
	default:
		a.problem.Store(nil)
		a.begun.come()
	}
	a.observe()
	if !changed && a.reported.condition == says {
		return
	}
	a.reported.condition = condition{}
	err := a.setCondition(ctx, says)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		a.cfg.Metrics.syncErrors.WithLabelValues("condition").Inc()
		if a.problems.set("condition", err) {
			a.log(ctx).Error(err, "condition not written")
		}
		return
	}
	a.problems.set("condition", nil)
	a.reported.condition = says
}

// failureCondition is the condition of a node that is not as planned.
func failureCondition(err error) condition {
	message := strings.Join(strings.Fields(err.Error()), " ") // nft writes several lines
	return condition{corev1.ConditionFalse, reasonOf(err), message[:min(len(message), maxMessage)]}
}

// summary describes a node that is as planned. It has no numbers that change with every service.
func (a *Agent) summary(remarks []string) string {
	parts := []string{a.services.choice.Why}
	if warning := a.services.choice.Warning; warning != "" {
		parts = append(parts, warning)
	}
	if left := a.planner.network.LeftOut; left != "" {
		parts = append(parts, left)
	}
	if odd := a.planner.network.Odd; len(odd) > 0 {
		parts = append(parts, "what nodes say of themselves is left out where it cannot be: "+someOf(odd))
	}
	if silent := a.gateways.verdicts.silent(); len(silent) > 0 {
		parts = append(parts, "gateways that do not answer this node get no flows: "+someOf(silent))
	}
	if names := a.services.backend.Foreign(); len(names) > 0 {
		parts = append(parts, "virtual services inside the VIP CIDR that tombolo did not make are left alone: "+someOf(names))
	}
	if ports := a.skips.crowdedPorts(a.services.backend.Serves()); len(ports) > 0 {
		parts = append(parts, "some endpoints get no flows, as there are more than this backend shares flows among: "+someOf(ports))
	}
	return strings.Join(slices.Concat(parts, remarks, a.sysctls.drift, a.firewall.remarks, a.flows.remarks(), a.podnet.remarks), "; ")
}

// reportSkipped makes the events about what is left out where that backend serves.
func (a *Agent) reportSkipped(by v1alpha1.DataplaneBackend, now time.Time) {
	for _, note := range a.skips.notes(by, now) {
		a.warnAbout(importRef(note.about), reasonSkipped, "Plan", note.text)
	}
}

// reportRemarks makes an event of remarks that are new.
func (a *Agent) reportRemarks(remarks []string) {
	text := strings.Join(remarks, "; ")
	if text != "" && text != a.reported.remarks {
		a.warn(reasonFull, "Serve", text)
	}
	a.reported.remarks = text
}

// warn records a warning about this agent's own Node. Like the kubelet's events it has the Node's
// name in the place of its UID, by which kubectl finds it. The API server gets the note of the
// first event of a reason and action, and only the number of the others in the minutes after it.
func (a *Agent) warn(reason, action, note string) {
	a.warnAbout(nil, reason, action, note)
}

// warnAbout records a warning that concerns another object as well. It counts apart from those that
// concern others.
func (a *Agent) warnAbout(related runtime.Object, reason, action, note string) {
	a.tell(related, corev1.EventTypeWarning, reason, action, note)
}

// tell records an event of that kind.
func (a *Agent) tell(related runtime.Object, kind, reason, action, note string) {
	if a.cfg.Events == nil {
		return
	}
	node := &corev1.Node{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{Name: a.cfg.NodeName, UID: types.UID(a.cfg.NodeName)},
	}
	a.cfg.Events.Eventf(node, related, kind, reason, action, "%s", note[:min(len(note), maxNote)])
}

// observe sets the metrics that say how the node is.
func (a *Agent) observe() {
	m, s := a.cfg.Metrics, a.services
	by := s.backend.Serves()
	m.services.Set(float64(s.wanted.Len()))
	m.destinations.Set(float64(s.destinations))
	m.foreign.Set(float64(len(s.backend.Foreign())))
	m.skipped.Set(float64(a.skips.count(by)))
	if s.backend.Ready() {
		m.setBackend(by, s.choice.Why)
	}
	ready := 0.0
	if a.problem.Load() == nil {
		ready = 1
	}
	m.ready.Set(ready)
}

// setCondition patches the condition of this agent's own Node, if it differs from what the cache
// has.
func (a *Agent) setCondition(ctx context.Context, says condition) error {
	var node corev1.Node
	if err := a.cfg.Client.Get(ctx, client.ObjectKey{Name: a.cfg.NodeName}, &node); err != nil {
		return client.IgnoreNotFound(err) // without a Node there is no place for a condition
	}
	next := corev1.NodeCondition{Type: v1alpha1.NodeConditionDataplane, Status: says.status, Reason: says.reason, Message: says.message}
	for _, old := range node.Status.Conditions {
		if old.Type != next.Type {
			continue
		}
		if says == (condition{old.Status, old.Reason, old.Message}) {
			return nil
		}
		if old.Status == says.status {
			next.LastTransitionTime = old.LastTransitionTime
		}
	}
	if a.reported.written == says && a.reported.version == node.ResourceVersion {
		return nil // the cache has not seen the last patch yet
	}
	next.LastHeartbeatTime = metav1.Now()
	if next.LastTransitionTime.IsZero() {
		next.LastTransitionTime = next.LastHeartbeatTime
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []corev1.NodeCondition{next}}})
	if err != nil {
		return fmt.Errorf("encoding the condition of node %s: %w", a.cfg.NodeName, err)
	}
	target := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: a.cfg.NodeName}}
	if err := a.cfg.Client.Status().Patch(ctx, target, client.RawPatch("application/strategic-merge-patch+json", patch)); err != nil {
		return fmt.Errorf("writing the condition of node %s: %w", a.cfg.NodeName, err)
	}
	a.reported.written, a.reported.version = says, node.ResourceVersion
	a.log(ctx).Info("condition changed", "status", says.status, "reason", says.reason, "message", says.message)
	return nil
}
