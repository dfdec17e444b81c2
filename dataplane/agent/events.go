package agent

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tombolo-net/tombolo/dataplane/plan"
)

// Reasons of the events on this agent's own Node.
const (
	// reasonRepaired: somebody had changed what tombolo keeps in the kernel.
	reasonRepaired = "ClustersetIPsRepaired"
	// reasonSkipped: a part of a ServiceImport cannot be served.
	reasonSkipped = "ClustersetIPsSkipped"
)

// reporter makes events (client-go's events.EventRecorder), and keeps those that come too often from the API server.
type reporter interface {
	Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any)
}

// event is about this agent's own Node. As the kubelet's, it names the Node in the place of its UID, by which kubectl
// finds it.
func (a *Agent) event(kind, reason, action, note string) {
	if a.cfg.Events == nil {
		return
	}
	node := &corev1.Node{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{Name: a.cfg.NodeName, UID: types.UID(a.cfg.NodeName)},
	}
	a.cfg.Events.Eventf(node, nil, kind, reason, action, "%s", note[:min(len(note), maxNote)])
}

// maxNote is how long the note of an event may be (events.k8s.io/v1).
const maxNote = 1024

// spelledOut is how many things an event names.
const spelledOut = 3

// someOf names the first things and counts the others.
func someOf(things []string) string {
	if more := len(things) - spelledOut; more > 0 {
		things = append(things[:spelledOut:spelledOut], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(things, ", ")
}

// skipped remembers what of a ServiceImport cannot be served, and tells it where that is new.
func (a *Agent) skipped(name types.NamespacedName, skipped []plan.Skipped) {
	n := a.node
	if slices.Equal(n.skipped[name], skipped) {
		return
	}
	if n.skipped == nil {
		n.skipped = map[types.NamespacedName][]plan.Skipped{}
	}
	if len(skipped) == 0 {
		delete(n.skipped, name)
		return
	}
	n.skipped[name] = skipped
	words := make([]string, 0, len(skipped))
	for _, s := range skipped {
		words = append(words, fmt.Sprintf("%s: %s", s.What, s.Why))
	}
	a.event(corev1.EventTypeWarning, reasonSkipped, "Plan", fmt.Sprintf("ServiceImport %s is served but for: %s", name, someOf(words)))
}
