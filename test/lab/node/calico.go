package node

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/test/lab/kernel/guest"
)

// birdName is what the family's BIRD is called: Calico runs one for each.
func birdName(f family) string { return "bird" + f.suffix }

// birdConfig and birdSocket are where the family's BIRD is configured and listens.
func birdConfig(f family) string { return filepath.Join(stateDir, birdName(f)+".conf") }
func birdSocket(f family) string { return filepath.Join(stateDir, birdName(f)+".ctl") }

// calico has a host route for each of its pods, tells the other nodes of its pod CIDR by BGP, each
// node each other, and filters reverse paths strictly. Its addresses follow Node.spec.podCIDRs, as
// with Calico's IPAM "host-local" and usePodCidr; Calico's own IPAM, which gives nodes blocks that
// no Node names, is not here. Each IP family has its own.
type calico struct {
	family   family
	podCIDRs []netip.Prefix // of the family
	mtu      int            // bytes; 0 is the kernel's default
	log      *slog.Logger
	prepared bool   // the sysctls are set
	applied  string // the configuration that BIRD has taken
}

// strict are the reverse path filters: Calico's agent refuses to start where they are loose.
var strict = map[string]string{
	"net.ipv4.conf.all.rp_filter": "1", "net.ipv4.conf.default.rp_filter": "1", "net.ipv4.conf." + uplink + ".rp_filter": "1",
}

func (c *calico) plugin() object { return podPlugin("", c.mtu) }

func (c *calico) sync(ctx context.Context, self *corev1.Node, others []*corev1.Node) error {
	if !c.prepared && c.family.is4 { // IPv6 has no such setting
		if err := guest.Sysctl(strict); err != nil {
			return err
		}
		c.prepared = true
	}
	own, address := c.family.cidr(self)
	if !own.IsValid() {
		return nil // the controllers have not given it one yet
	}
	if err := c.syncNAT(ctx); err != nil {
		return err
	}
	var peers []bgpPeer
	for _, n := range others {
		if cidr, via := c.family.cidr(n); cidr.IsValid() {
			peers = append(peers, bgpPeer{name: n.Name, address: via})
		}
	}
	text := birdText(c.family, address, own, c.podCIDRs, peers)
	if text == c.applied {
		return nil
	}
	if err := writeFile(birdConfig(c.family), text); err != nil {
		return err
	}
	// It may be just about to start.
	if err := poll(ctx, c.reloadBIRD); err != nil {
		return err
	}
	c.applied = text
	c.log.Info("BGP peers changed", "peers", peers)
	return nil
}

// bird speaks BGP with the other nodes, in a family, and writes the routes that it learns.
func bird(f family) component {
	return component{
		name: birdName(f),
		path: "bird",
		args: []string{"-f", "-c", birdConfig(f), "-s", birdSocket(f)},
		before: func(ctx context.Context) error {
			return poll(ctx, func(context.Context) error {
				_, err := os.Stat(birdConfig(f))
				return err
			})
		},
		ready: func(ctx context.Context) error {
			_, err := pipe(ctx, "", "birdcl", "-s", birdSocket(f), "show", "status")
			return err
		},
	}
}

// reloadBIRD has BIRD read its configuration. birdcl ends with 0 whatever the answer is.
func (c *calico) reloadBIRD(ctx context.Context) error {
	out, err := pipe(ctx, "", "birdcl", "-s", birdSocket(c.family), "configure")
	if err == nil && !strings.Contains(out, "Reconfigur") {
		err = fmt.Errorf("configuring BIRD: %s", out)
	}
	return err
}

// bgpPeer is another node.
type bgpPeer struct {
	name    string
	address netip.Addr
}

// privateAS is the AS number of all nodes, Calico's default.
const privateAS = 64512

// birdText is the configuration of BIRD 2 for a node of a full mesh, with what Calico's confd
// writes for BIRD 1: the node's own addresses as one block, whose route discards what no pod has,
// and the pool as all that peers may tell and be told.
func birdText(f family, self netip.Addr, own netip.Prefix, pools []netip.Prefix, peers []bgpPeer) string {
	var b strings.Builder
	in := make([]string, 0, len(pools))
	for _, p := range pools {
		in = append(in, p.String()+"+")
	}
	channel := "ipv6"
	if f.is4 {
		channel = "ipv4"
	}
	raw := self.As16()
	routerID := netip.AddrFrom4([4]byte(raw[12:])) // the IPv4 address, or the end of the IPv6 address
	fmt.Fprintf(&b, `log stderr all;
router id %[5]s;
protocol device { scan time 2; }
protocol static own_pods { %[6]s; route %[2]s blackhole; }
protocol kernel {
  learn;
  persist;
  merge paths on;
  scan time 2;
  graceful restart;
  %[6]s { import all; export where source = RTS_BGP || proto = "own_pods"; };
}
filter pools { if net ~ [ %[3]s ] then accept; reject; }
filter blocks { if proto = "own_pods" && net ~ [ %[3]s ] then accept; reject; }
template bgp mesh {
  local %[1]s as %[4]d;
  direct;
  graceful restart;
  connect delay time 1;
  connect retry time 2;
  error wait time 1, 5;
  %[6]s { import filter pools; export filter blocks; next hop self; add paths on; };
}
`, self, own, strings.Join(in, ", "), privateAS, routerID, channel)
	for _, p := range slices.SortedFunc(slices.Values(peers), func(a, b bgpPeer) int { return a.address.Compare(b.address) }) {
		passive := "" // of two nodes one calls the other
		if p.address.Less(self) {
			passive = "passive on; "
		}
		fmt.Fprintf(&b, "protocol bgp %s from mesh { %sneighbor %s as %d; }\n", "mesh_"+strings.ReplaceAll(p.name, "-", "_"), passive, p.address, privateAS)
	}
	return b.String()
}

// Names of Calico's, in the kernel.
const (
	calicoAllPools         = "cali40all-ipam-pools"
	calicoMasqueradePools  = "cali40masq-ipam-pools"
	calicoAllPools6        = "cali60all-ipam-pools"
	calicoMasqueradePools6 = "cali60masq-ipam-pools"
)

// syncNAT makes the node masquerade what Calico calls natOutgoing: from a pool that asks for it to
// what is in no pool.
func (c *calico) syncNAT(ctx context.Context) error {
	all, masquerade := calicoAllPools6, calicoMasqueradePools6
	if c.family.is4 {
		all, masquerade = calicoAllPools, calicoMasqueradePools
	}
	wrote, err := natChain{
		family: c.family,
		name:   "cali-POSTROUTING",
		first:  true,
		rules:  []string{fmt.Sprintf("-m set --match-set %s src -m set ! --match-set %s dst -j MASQUERADE --random-fully", masquerade, all)},
	}.sync(ctx, func(ctx context.Context) error {
		return syncSets(ctx, ipSet{c.family, all, c.podCIDRs}, ipSet{c.family, masquerade, c.podCIDRs})
	})
	if wrote {
		c.log.Info("masquerade rules written")
	}
	return err
}
