package agent

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
)

// Reasons of the events on this agent's own Node.
const (
	// reasonRepaired: somebody had changed what tombolo keeps in the kernel.
	reasonRepaired = "ClustersetIPsRepaired"
	// reasonSkipped: a part of a ServiceImport cannot be served.
	reasonSkipped = "ClustersetIPsSkipped"
	// reasonGatewayLost: a gateway does not answer this node any more.
	reasonGatewayLost = "GatewayLost"
	// reasonGatewayBack: it answers again.
	reasonGatewayBack = "GatewayBack"
	// reasonFull: something in the kernel has no room for more.
	reasonFull = "ClustersetIPsFull"
)

// recorder records events (client-go's events.EventRecorder). It does not send the API server those
// that come too often.
type recorder interface {
	Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any)
}

// repairing is the action of an event about a repair, by part. Each part has its own, so that no
// event hides another.
var repairing = map[string]string{
	"services": "RepairServices", "filter": "RepairFilter", "routes": "RepairRoutes", "sysctls": "RepairSysctls",
	"firewall": "RepairFirewall",
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
