package main

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/tombolo-net/tombolo/test/lab"
)

// topologyFlags adds the flags that say what a lab consists of.
func topologyFlags(f *pflag.FlagSet, o *lab.Options) {
	f.IntVar(&o.Clusters, "clusters", 2, "number of clusters: east, west, north, ...")
	f.IntVar(&o.Nodes, "nodes", 2, "nodes in each cluster, the first of which is its gateway")
	f.IntVar(&o.Gateways, "gateways", 1, "gateways in each cluster, the first of its nodes")
	f.IntVar(&o.Zones, "zones", 0, "zones of each cluster, which its nodes take turns in (default: one for each node)")
	f.StringVar(&o.ProxyMode, "proxy-mode", "iptables", "what serves ClusterIPs: "+strings.Join(lab.ProxyModes(), ", "))
	f.StringVar(&o.NodeMemory, "node-memory", "", "what a node has of memory, its files and images included (default 2G)")
	f.StringSliceVar(&o.Images, "images", nil, "images to make before the lab is ready, for example nginx,busybox; others are made when a pod wants them")
}
