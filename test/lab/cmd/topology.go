package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/tombolo-net/tombolo/test/lab"
)

// topologyFlags adds the flags that say what a lab consists of.
func topologyFlags(f *pflag.FlagSet, o *lab.Options) {
	f.VarP(&installFlag{folder: &o.Install}, "install", "", "install tombolo, from `FOLDER` (default the tree's folder config), and wait until its links are up")
	f.Lookup("install").NoOptDefVal = defaultConfig
	f.IntVar(&o.Clusters, "clusters", 2, "number of clusters: east, west, north, ...")
	f.IntVar(&o.Nodes, "nodes", 2, "nodes in each cluster; the first is its gateway")
	f.IntVar(&o.Gateways, "gateways", 1, "gateways in each cluster, the first of its nodes")
	f.IntVar(&o.Zones, "zones", 0, "zones of each cluster, which its nodes take turns in (default: one for each node)")
	f.StringSliceVar(&o.CNI, "cni", []string{"routed"}, cniUsage)
	f.StringSliceVar(&o.ProxyMode, "proxy-mode", []string{"iptables"}, "what serves ClusterIPs, of "+strings.Join(lab.ProxyModes(), ", ")+"; several as for --cni")
	f.StringSliceVar(&o.IPFamily, "ip-family", []string{lab.IPv4}, ipFamilyUsage)
	f.Func("exclude-cidrs", "IPVS addresses that kube-proxy in mode ipvs leaves alone, none for none (default the clusterset IPs)",
		func(value string) (err error) {
			o.ExcludeCIDRs, err = parsePrefixes(value)
			return err
		})
	f.StringVar(&o.NodeMemory, "node-memory", "", "what a node has of memory, its files and images included (default 2G)")
	f.StringSliceVar(&o.Images, "images", nil, "images to make before the lab is ready, for example nginx,busybox; others are made when a pod wants them")
}

// ipFamilyUsage says what the IP families are.
const ipFamilyUsage = `which IP families nodes, pods and Services have:
ipv4    IPv4 alone
ipv6    IPv6 alone: no node and no pod has an IPv4 address
dual    both, IPv4 first
dual6   both, IPv6 first
Several are for a cluster each, the last one for the rest: dual,ipv6`

// cniUsage says what the CNIs are, by what sets them apart.
const cniUsage = `how pods are connected and what is masqueraded of what they send out of their cluster:
routed   routes between nodes; masqueraded is what leaves by the uplink
kindnet  the same routes; masqueraded is what leaves by any device
flannel  a bridge, VXLAN between nodes; masqueraded is what leaves, and what comes from outside for other nodes' pods
calico   host routes, BGP between nodes, strict reverse path filters; masqueraded is what leaves, before all other rules
Several are for a cluster each, the last one for the rest: flannel,calico`

// defaultConfig stands for the folder config of the tree that lab was built in, or of the working
// directory.
const defaultConfig = "config"

// installFlag is a flag that may have a folder as its value, --install=FOLDER.
type installFlag struct{ folder *string }

func (f *installFlag) String() string {
	if f.folder == nil {
		return ""
	}
	return *f.folder
}
func (f *installFlag) Type() string { return "folder" }

// Set finds the folder.
func (f *installFlag) Set(value string) error {
	folders := []string{value}
	if self, err := os.Executable(); err == nil && value == defaultConfig {
		folders = append(folders, filepath.Join(filepath.Dir(self), "..", defaultConfig))
	}
	for _, folder := range folders {
		if _, err := os.Stat(filepath.Join(folder, "default", "kustomization.yaml")); err == nil {
			*f.folder, err = filepath.Abs(folder)
			return err
		}
	}
	return fmt.Errorf("no manifests of tombolo in %s; name the folder: --install=FOLDER", strings.Join(folders, " or "))
}

// parsePrefixes returns a list of prefixes that is not nil.
func parsePrefixes(text string) ([]netip.Prefix, error) {
	prefixes := []netip.Prefix{}
	if text == "none" {
		return prefixes, nil
	}
	for _, field := range strings.Split(text, ",") {
		p, err := netip.ParsePrefix(field)
		if err != nil {
			return nil, err
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, nil
}
