package agent

import (
	"context"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// reasonRepaired: others had changed what a gateway keeps in the kernel of its node.
const reasonRepaired = "GatewayRepaired"

// part of what a gateway keeps in the kernel. It is a label of metrics.
type part string

const (
	partTunnels  part = "wireguard"
	partRoutes   part = "route"
	partTable    part = "nftables"
	partHandover part = "handover"
	partIngress  part = "ingress"
)

const spareTables = "find who does that (nft monitor), and let it spare tables named tombolo*; \"flush ruleset\" removes them all"

// spare says how to make other programs spare the part.
var spare = map[part]string{
	partTunnels: "find who does that, and let it spare the devices tombolo0 and up " +
		"(NetworkManager: unmanaged-devices=interface-name:tombolo*; systemd-networkd: Unmanaged=yes)",
	partRoutes: "find who does that, and let it spare routes and rules with protocol 148 " +
		"(systemd-networkd: ManageForeignRoutes=no and ManageForeignRoutingPolicyRules=no)",
	partTable: spareTables, partIngress: spareTables,
}

// tell records an event about the GatewayNode, and logs it.
func (a *Agent) tell(ctx context.Context, reason, action, note string) {
	logr.FromContextOrDiscard(ctx).Info("told in an event", "reason", reason, "note", note)
	if a.cfg.Events == nil {
		return
	}
	gateway := &v1alpha1.GatewayNode{}
	gateway.Namespace, gateway.Name = a.cfg.Namespace, a.cfg.NodeName
	// Without the GatewayNode the event is about its name alone.
	_ = a.cfg.Client.Get(ctx, client.ObjectKeyFromObject(gateway), gateway)
	a.cfg.Events.Eventf(gateway, nil, corev1.EventTypeWarning, reason, action, "%s", note)
}

// mended tells that others had changed that part, and that it is again as the gateway wants it.
func (a *Agent) mended(ctx context.Context, p part, what []string) {
	a.metrics.repairs.WithLabelValues(string(p)).Inc()
	a.tell(ctx, reasonRepaired, "Repair-"+string(p), "mended what others had changed: "+strings.Join(what, ", ")+". If it comes again, "+spare[p])
}
