package podnet

import (
	"errors"
	"fmt"
	"net/netip"
)

// Facts are what Read has found.
type Facts struct {
	// NotForwarding are the sysctls that are 0, such as "net.ipv4.ip_forward", which must be 1 so that
	// packets get from and to pods.
	NotForwarding []string
	// Bridges that connect pods.
	Bridges []Bridge
	// Strict are devices with a reverse path filter that drops packets of other clusters.
	Strict []Strict
	// Untracked is true if connection tracking has lately not seen packets that it should have seen.
	Untracked bool
	// Flows are how many connection tracking has, and MaxFlows how many it may have; zero: there is no
	// connection tracking.
	Flows, MaxFlows int
}

// Bridge is a bridge that connects pods.
type Bridge struct {
	Name string
	// Bypassed are the programs whose rules packets between two pods on the bridge do not meet:
	// "iptables", "ip6tables" or both.
	Bypassed []string
	// NoModule is true if the kernel lacks br_netfilter, or has not loaded it.
	NoModule bool
}

// Strict is a device with a strict reverse path filter.
type Strict struct {
	Device string
	// Source of a packet that came in by the device and was dropped.
	Source netip.Addr
	// NoAddress is true if the device has no IPv4 address. Then a loose filter is as strict.
	NoAddress bool
}

// remedy is what makes the filter pass packets.
func (s Strict) remedy() string {
	// With slashes, since the name of a device may have dots.
	if s.NoAddress {
		return fmt.Sprintf("`sysctl -w net.ipv4.conf.all.rp_filter=0 net/ipv4/conf/%s/rp_filter=0`", s.Device)
	}
	return fmt.Sprintf("`sysctl -w net/ipv4/conf/%s/rp_filter=2`", s.Device)
}

// Problems are what keeps clusterset IPs from working, with the remedies.
func (f Facts) Problems() (all []error) {
	for _, name := range f.NotForwarding {
		all = append(all, fmt.Errorf("the node does not forward packets of pods: %s is 0: `sysctl -w %s=1`, and set it in /etc/sysctl.d", name, name))
	}
	if f.Untracked {
		all = append(all, errors.New("connection tracking does not see packets to clusterset IPs or from other clusters, so that they are not translated: "+
			"find the rule by `nft list ruleset | grep -w notrack` or `iptables -t raw -S`, and except the VIP CIDR and the devices tombolo+"))
	}
	for _, s := range f.Strict {
		all = append(all, fmt.Errorf("packets of other clusters, such as one from %s, come in by %s, and its strict reverse path filter drops them: "+
			"%s, and set it in /etc/sysctl.d, or let the CNI follow the Nodes' podCIDRs", s.Source, s.Device, s.remedy()))
	}
	for _, b := range f.Bridges {
		for _, program := range b.Bypassed {
			load := ""
			if b.NoModule {
				load = "modprobe br_netfilter && "
			}
			name := "net.bridge.bridge-nf-call-" + program
			all = append(all, fmt.Errorf("packets between two pods on the bridge %s bypass netfilter, so that answers to clusterset IPs are lost if both pods are on this node: "+
				"`%ssysctl -w %s=1`, and set it in /etc/modules-load.d and /etc/sysctl.d", b.Name, load, name))
		}
	}
	return all
}

// nearlyFull is from which share of its flows on connection tracking counts as nearly full, in
// percent.
const nearlyFull = 90

// Remarks are what soon may be a problem, with the remedy.
func (f Facts) Remarks() []string {
	if f.MaxFlows == 0 || f.Flows*100 < f.MaxFlows*nearlyFull {
		return nil
	}
	// Without the number of flows: it changes all the time.
	return []string{fmt.Sprintf("connection tracking is nearly full, and drops new flows when it is: raise net.netfilter.nf_conntrack_max (%d), or conntrack.maxPerCore of kube-proxy", f.MaxFlows)}
}
