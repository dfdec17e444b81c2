package agent

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
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
	partRoutes: fmt.Sprintf("find who does that, and let it spare routes and rules with protocol %d "+
		"(systemd-networkd: ManageForeignRoutes=no and ManageForeignRoutingPolicyRules=no)", route.ProtocolGateway),
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

// longestWhat bounds what an event says of a repair, in bytes: a note has room for 1024 (events.k8s.io/v1), and the remedy follows.
const longestWhat = 700

// mended tells that others had changed that part, and that it is again as the gateway wants it.
func (a *Agent) mended(ctx context.Context, p part, what ...string) {
	a.metrics.repairs.WithLabelValues(string(p)).Inc()
	a.tell(ctx, reasonRepaired, "Repair-"+string(p),
		"mended what others had changed: "+clusterset.Clip(clusterset.NameSome(what), longestWhat)+". If it comes again, "+spare[p])
}

// kept is true if a table was last as it was wanted. The zero value: nobody has written it yet.
type kept bool

// sync makes the table what cfg says. same says that cfg is as the last time. If something has to be written all the same, others
// had changed the table, and mended is true.
func (k *kept) sync(ctx context.Context, t table, cfg firewall.Config, same bool) (change firewall.Change, mended bool, err error) {
	mended = bool(*k) && same
	change, err = t.Sync(ctx, cfg)
	*k = kept(err == nil)
	return change, mended && err == nil && !change.Empty(), err
}
