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

// recorder records events (client-go's events.EventRecorder). It does not send the API server those that come too often.
type recorder interface {
	Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any)
}

// event records an event about this agent's own Node. Like the kubelet's events it has the Node's name in the place of its
// UID, by which kubectl finds it. The API server gets the note of the first event of a reason and action, and only the
// number of the others in the minutes after it.
func (a *Agent) event(kind, reason, action, note string) {
	a.eventWith(nil, kind, reason, action, note)
}

// eventWith records an event that concerns another object as well. It counts apart from those that concern others.
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

// repairing is the action of an event about a repair, by part. Each part has its own, so that no event hides another.
var repairing = map[string]string{
	"services": "RepairServices", "filter": "RepairFilter", "routes": "RepairRoutes", "sysctls": "RepairSysctls",
}

// maxNote is the longest note that an event may have (events.k8s.io/v1), in bytes.
const maxNote = 1024

// spelledOut is how many things an event or a condition names.
const spelledOut = 3

// someOf names the first few things and counts the others.
func someOf(things []string) string {
	if more := len(things) - spelledOut; more > 0 {
		things = append(things[:spelledOut:spelledOut], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(things, ", ")
}
