package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/test/lab/cni"
)

// What Config.CNI may be: how pods are connected, and what is masqueraded of what they send.
const (
	// CNIRouted routes pods from node to node and masquerades what the node forwards out of its
	// uplink to addresses outside the cluster.
	CNIRouted = "routed"
	// CNIKindnet is the same, but masquerades all that goes to addresses outside the cluster, by
	// whichever device, as kindnet does.
	CNIKindnet = "kindnet"
	// CNIFlannel has pods on a bridge and a VXLAN between nodes, and masquerades what goes from
	// pods to addresses outside the cluster and from there to pods of other nodes, as flannel does.
	CNIFlannel = "flannel"
	// CNICalico has a host route for each pod, routes between nodes by BGP, strict reverse path
	// filters, and masquerades what goes from pods to addresses outside the cluster, in front of
	// all other rules, as Calico does.
	CNICalico = "calico"
)

// CNIs are the values of Config.CNI.
func CNIs() []string { return []string{CNIRouted, CNIKindnet, CNIFlannel, CNICalico} }

// podNet is how pods of different nodes reach each other, and what is masqueraded of what they
// send.
type podNet interface {
	// plugin is the configuration of the CNI plugin that connects a pod to its node, without its
	// IPAM.
	plugin() object
	// sync makes this node what it should be, now that there are these others. It is called again
	// and again.
	sync(ctx context.Context, self *corev1.Node, others []*corev1.Node) error
}

// newPodNet returns the one that cfg names.
func newPodNet(cfg Config, log *slog.Logger) podNet {
	var nets perFamily
	for _, f := range cfg.families() {
		switch cfg.CNI {
		case CNIFlannel:
			nets = append(nets, &flannel{family: f, podCIDRs: f.of(cfg.PodCIDRs), log: log})
		case CNICalico:
			nets = append(nets, &calico{family: f, podCIDRs: f.of(cfg.PodCIDRs), mtu: cfg.MTU, log: log})
		default:
			return &routed{cfg: cfg, log: log}
		}
	}
	return nets
}

// hostPrograms are the programs of the host that a node wants for its CNI, by what Debian calls
// their packages.
var hostPrograms = map[string]map[string]string{
	CNIFlannel: {"iptables": "iptables", "ip6tables": "iptables"},
	CNICalico:  {"iptables": "iptables", "ip6tables": "iptables", "ipset": "ipset", "bird": "bird2"},
}

// CheckPrograms returns an error that names what a node with that CNI would miss on this host.
func CheckPrograms(kind string) error {
	var errs []error
	for program, pkg := range hostPrograms[kind] {
		if !slices.ContainsFunc(filepath.SplitList(systemPath), func(dir string) bool {
			_, err := exec.LookPath(filepath.Join(dir, program))
			return err == nil
		}) {
			errs = append(errs, fmt.Errorf("CNI %s wants the program %s: install the Debian package %s (hack/deps.sh does)", kind, program, pkg))
		}
	}
	return errors.Join(errs...)
}

// writeCNIConfig tells containerd how to connect a pod: by the plugin, with addresses from cidrs,
// and host ports.
func writeCNIConfig(plugin object, cidrs []netip.Prefix) error {
	var ranges []any
	routes := []object{}
	for _, c := range cidrs {
		ranges = append(ranges, []object{{"subnet": c.String()}})
		all := "0.0.0.0/0"
		if c.Addr().Is6() {
			all = "::/0"
		}
		routes = append(routes, object{"dst": all})
	}
	plugin["ipam"] = object{"type": "host-local", "ranges": ranges, "routes": routes}
	portmap := object{"type": "portmap", "capabilities": object{"portMappings": true}}
	// Renamed into its place: containerd reads what it finds there at once.
	temporary := cniConfig + ".new"
	err := writeJSON(temporary, object{"cniVersion": "1.0.0", "name": "lab", "plugins": []object{plugin, portmap}})
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, cniConfig); err != nil {
		return fmt.Errorf("writing the CNI configuration: %w", err)
	}
	return nil
}

// podPlugin is the configuration of the lab's own plugin; mtu 0 is the kernel's default.
func podPlugin(bridge string, mtu int) object {
	plugin := object{"type": cni.Name}
	if bridge != "" {
		plugin["bridge"] = bridge
	}
	if mtu != 0 {
		plugin["mtu"] = mtu
	}
	return plugin
}
