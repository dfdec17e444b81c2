// Package node is what runs inside of a lab's node, as PID 1 of its user-mode
// kernel: the root file system, the network, and the supervised components
// (containerd, kubelet, kube-proxy, the pod network), with a small HTTP API by
// which the host executes commands and reads the node's status.
//
// It does not boot the kernel (package kernel does), makes no certificates and
// no images, and knows nothing of other clusters: the host writes a Config and
// the files that it names into the node's folder before it boots the node.
package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ConfigEnv is the environment variable by which PID 1 finds its Config: the
// absolute path of a JSON file. The host sets it in kernel.Config.Env.
const ConfigEnv = "LAB_NODE"

// ControlPort is the TCP port of the control API on the node's addresses.
const ControlPort = 7471

// Files of a node's folder (Config.Dir), which the host writes before the boot.
const (
	KubeletKubeconfig = "kubelet.kubeconfig"    // user system:node:NAME, group system:nodes
	ProxyKubeconfig   = "kube-proxy.kubeconfig" // user system:kube-proxy
	ClientCA          = "ca.crt"                // whom the kubelet's own API trusts
	ServingCert       = "kubelet.crt"           // the kubelet's serving certificate, for the node's addresses
	ServingKey        = "kubelet.key"
)

// LogDir is the folder, below Config.Dir, of the components' logs.
const LogDir = "logs"

// Proxy modes of Config.ProxyMode, as kube-proxy names them.
const (
	ProxyNFTables = "nftables"
	ProxyIPTables = "iptables"
	ProxyIPVS     = "ipvs"
	ProxyNone     = "none" // no kube-proxy at all
)

// Config is everything that a node is told. The host writes it as JSON.
type Config struct {
	Name    string `json:"name"`    // required; the Node's name
	Cluster string `json:"cluster"` // required; the cluster ID, for logs and the host name

	Addresses []netip.Prefix `json:"addresses"`          // required; of eth0, the primary IP family's first
	Gateways  []netip.Addr   `json:"gateways"`           // optional; the default route of each family
	MTU       int            `json:"mtu,omitempty"`      // optional, bytes; default the device's
	APIServer string         `json:"apiServer"`          // required; https://HOST:PORT as seen from the node
	Resolvers []netip.Addr   `json:"resolvers"`          // optional; nameservers of the node itself, default Gateways
	Bin       string         `json:"bin"`                // required; the folder of the test binaries on the host
	Dir       string         `json:"dir"`                // required; the node's folder on the host, writable
	Token     string         `json:"token"`              // required; bearer token of the control API
	Writable  []string       `json:"writable,omitempty"` // optional; more of the host's folders that the node may write

	ClusterDomain string         `json:"clusterDomain"` // optional, default cluster.local
	ClusterDNS    []netip.Addr   `json:"clusterDNS"`    // required for pods to resolve names
	PodCIDRs      []netip.Prefix `json:"podCIDRs"`      // required; the whole cluster's
	CNI           string         `json:"cni"`           // optional, default routed
	ProxyMode     string         `json:"proxyMode"`     // optional, default iptables
	// ExcludeCIDRs are the IPVS addresses that kube-proxy in mode ipvs leaves alone.
	ExcludeCIDRs []netip.Prefix    `json:"excludeCIDRs,omitempty"`
	Labels       map[string]string `json:"labels"` // optional; kubelet --node-labels
	Images       []string          `json:"images"` // optional; archives on the host to import at start
	// Mirror is the URL of the registry from which all images are pulled, whatever registry they
	// name.
	Mirror       string `json:"mirror,omitempty"` // optional
	SandboxImage string `json:"sandboxImage"`     // required; the pause image's name, one of Images or in the Mirror
}

// Read returns the Config of the JSON file at path, with defaults filled in.
func Read(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading node config: %w", err)
	}
	var c Config
	if err := json.Unmarshal(text, &c); err != nil {
		return Config{}, fmt.Errorf("parsing node config %s: %w", path, err)
	}
	c.setDefaults()
	return c, c.Validate()
}

func (c *Config) setDefaults() {
	if c.ClusterDomain == "" {
		c.ClusterDomain = "cluster.local"
	}
	if c.CNI == "" {
		c.CNI = CNIRouted
	}
	if c.ProxyMode == "" {
		c.ProxyMode = ProxyIPTables
	}
	if len(c.Resolvers) == 0 {
		c.Resolvers = c.Gateways
	}
}

// Validate returns all of the Config's mistakes, joined, or nil.
func (c Config) Validate() error {
	var errs []error
	for _, f := range []struct {
		name string
		ok   bool
	}{
		{"name", c.Name != ""},
		{"cluster", c.Cluster != ""},
		{"addresses", len(c.Addresses) > 0},
		{"apiServer", c.APIServer != ""},
		{"bin", filepath.IsAbs(c.Bin)},
		{"dir", filepath.IsAbs(c.Dir)},
		{"token", c.Token != ""},
		{"podCIDRs", len(c.PodCIDRs) > 0},
		{"sandboxImage", c.SandboxImage != ""},
	} {
		if !f.ok {
			errs = append(errs, fmt.Errorf("node %q: %s is missing or not usable", c.Name, f.name))
		}
	}
	if !slices.Contains(CNIs(), c.CNI) {
		errs = append(errs, fmt.Errorf("node %q: CNI %q: want one of %s", c.Name, c.CNI, strings.Join(CNIs(), ", ")))
	}
	if !slices.Contains([]string{ProxyNFTables, ProxyIPTables, ProxyIPVS, ProxyNone}, c.ProxyMode) {
		errs = append(errs, fmt.Errorf("node %q: proxy mode %q: want one of nftables, iptables, ipvs, none", c.Name, c.ProxyMode))
	}
	return errors.Join(errs...)
}

// path returns where the file named name of the node's folder is.
func (c Config) path(name string) string { return filepath.Join(c.Dir, name) }
