package agent

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// Reasons of the events on this agent's own Node.
const (
	// reasonRepaired: somebody had changed what tombolo keeps in the kernel.
	reasonRepaired = "ClustersetIPsRepaired"
	// reasonSkipped: a part of a ServiceImport cannot be served.
	reasonSkipped = "ClustersetIPsSkipped"
	// reasonFull: something in the kernel has no room for more.
	reasonFull = "ClustersetIPsFull"
)

// reporter makes events (client-go's events.EventRecorder), and keeps those that come too often from the API server.
type reporter interface {
	Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any)
}

// event is about this agent's own Node. As the kubelet's, it names the Node in the place of its UID, by which kubectl
// finds it. Of events of one reason and action the API server gets the first one's note, and of the others in the minutes
// after it the number only.
func (a *Agent) event(kind, reason, action, note string) {
	a.eventWith(nil, kind, reason, action, note)
}

// eventWith is an event that has to do with another object as well: it counts apart from those with others.
func (a *Agent) eventWith(related runtime.Object, kind, reason, action, note string) {
	if a.cfg.Events == nil {
		return
	}
	node := &corev1.Node{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{Name: a.cfg.NodeName, UID: types.UID(a.cfg.NodeName)},
	}
	a.cfg.Events.Eventf(node, related, kind, reason, action, "%s", note[:min(len(note), maxNote)])
}

// repairing is the action of an event about a repair, by part: each has its own, so that none hides the others.
var repairing = map[string]string{
	"services": "RepairServices", "filter": "RepairFilter", "routes": "RepairRoutes", "sysctls": "RepairSysctls",
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
