package lab

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tombolo-net/tombolo/hack/testbin"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/install"
	"github.com/tombolo-net/tombolo/test/lab/node"
)

// Options say what a lab consists of. The zero value is the default lab.
type Options struct {
	Clusters int // optional, default 2: east, west; 1 to 9
	Nodes    int // optional, of each cluster, default 2; 1 to 9
	Gateways int // optional, how many of a cluster's nodes are gateways, the first ones, default 1
	Zones    int // optional, of each cluster, default one for each node; nodes take turns
	// CNI is how pods are connected and what is masqueraded of what they send: one of CNIs for each
	// cluster, of which the last one holds for all clusters after it.
	CNI []string // optional, default routed
	// ProxyMode is what serves ClusterIPs, as kube-proxy names its modes, or none: of each cluster,
	// as for CNI.
	ProxyMode []string // optional, default iptables
	// IPFamily says which IP families nodes, pods and Services have: one of IPFamilies for each
	// cluster, as for CNI.
	IPFamily []string // optional, default ipv4

	// ExcludeCIDRs are the IPVS addresses that kube-proxy in mode ipvs leaves alone.
	ExcludeCIDRs []netip.Prefix // optional, default the clusterset IPs

	// NodeMemory is what a node believes to have; the host gives what is used of it.
	NodeMemory string // optional, default 2G

	// Images are made before Up returns, where the cache lacks them. Others are made when a pod
	// wants them.
	Images []string // optional

	// Install is the folder config of tombolo's tree, from which it is installed before Up returns.
	Install string // optional, default none: clusters without tombolo

	// Dir is the run folder. It must not exist or be empty.
	Dir string // optional, default a new folder in os.TempDir
	// Bin holds the test binaries, Cache what may be kept from one lab to the next.
	Bin   string // optional, default testbin.Dir
	Cache string // optional, default testbin.CacheDir
	// Init is the program lab itself, which is PID 1 of every node.
	Init string // optional, default os.Executable

	// Progress is told what happens.
	Progress io.Writer `json:"-"` // optional
}

// binEnv names the folder of the test binaries, when it is not the cache's.
const binEnv = "TOMBOLO_TESTBIN"

// defaultMemory is what a node believes to have: its root is in memory too, and so are its images.
const defaultMemory = "2G"

// CNIs are the values of Options.CNI.
func CNIs() []string { return node.CNIs() }

// ProxyModes are the values of Options.ProxyMode.
func ProxyModes() []string {
	return []string{node.ProxyIPTables, node.ProxyNFTables, node.ProxyIPVS, node.ProxyNone}
}

// withDefaults returns o complete, or all that is wrong with it.
func (o Options) withDefaults() (Options, error) {
	o.Clusters = cmp.Or(o.Clusters, 2)
	o.Nodes = cmp.Or(o.Nodes, 2)
	o.Gateways = cmp.Or(o.Gateways, 1)
	o.Zones = cmp.Or(o.Zones, o.Nodes)
	if len(o.CNI) == 0 {
		o.CNI = []string{node.CNIRouted}
	}
	if len(o.ProxyMode) == 0 {
		o.ProxyMode = []string{node.ProxyIPTables}
	}
	if len(o.IPFamily) == 0 {
		o.IPFamily = []string{IPv4}
	}
	if o.ExcludeCIDRs == nil {
		o.ExcludeCIDRs = []netip.Prefix{netip.MustParsePrefix("244.0.0.0/16"), clusterset.VIPBlock6(install.ClusterSetID)}
	}
	o.NodeMemory = cmp.Or(o.NodeMemory, defaultMemory)
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if err := o.validate(); err != nil {
		return o, err
	}
	return o, o.findFolders()
}

func (o Options) validate() error {
	var errs []error
	if o.Clusters < 1 || o.Clusters > maxClusters {
		errs = append(errs, fmt.Errorf("%d clusters: allowed are 1 to %d", o.Clusters, maxClusters))
	}
	if o.Nodes < 1 || o.Nodes > maxNodes {
		errs = append(errs, fmt.Errorf("%d nodes in a cluster: allowed are 1 to %d", o.Nodes, maxNodes))
	}
	if o.Gateways < 1 || o.Gateways > o.Nodes {
		errs = append(errs, fmt.Errorf("%d gateways in a cluster of %d nodes: allowed are 1 to %d", o.Gateways, o.Nodes, o.Nodes))
	}
	if o.Zones < 1 || o.Zones > o.Nodes {
		errs = append(errs, fmt.Errorf("%d zones in a cluster of %d nodes: allowed are 1 to %d", o.Zones, o.Nodes, o.Nodes))
	}
	errs = append(errs, o.validateEach("CNI", o.CNI, CNIs()), o.validateEach("proxy mode", o.ProxyMode, ProxyModes()),
		o.validateFamilies())
	return errors.Join(errs...)
}

// validateEach judges a choice for each cluster.
func (o Options) validateEach(what string, values, allowed []string) error {
	var errs []error
	for _, value := range values {
		if !slices.Contains(allowed, value) {
			errs = append(errs, fmt.Errorf("%s %q: allowed are %s", what, value, strings.Join(allowed, ", ")))
		}
	}
	if len(values) > o.Clusters {
		errs = append(errs, fmt.Errorf("%ss %s: there are more than the %d clusters", what, strings.Join(values, ", "), o.Clusters))
	}
	return errors.Join(errs...)
}

// validateFamilies judges Options.IPFamily.
func (o Options) validateFamilies() error {
	var errs []error
	for _, value := range o.IPFamily {
		if !slices.Contains(IPFamilies(), value) {
			errs = append(errs, fmt.Errorf("--ip-family %s: %q is no IP family: use one of %s", strings.Join(o.IPFamily, ","), value, strings.Join(IPFamilies(), ", ")))
		}
	}
	if n := len(o.IPFamily); n > o.Clusters {
		errs = append(errs, fmt.Errorf("--ip-family %s: %d values for %d clusters: give one for each cluster at most, or --clusters %d", strings.Join(o.IPFamily, ","), n, o.Clusters, n))
	}
	return errors.Join(errs...)
}

// each is the i-th cluster's of those values, i from 1: the last one holds for all clusters after
// it.
func each(values []string, i int) string { return values[min(i, len(values))-1] }

// findFolders fills in what depends on the machine.
func (o *Options) findFolders() (err error) {
	for _, cni := range slices.Compact(slices.Sorted(slices.Values(o.CNI))) {
		if err := node.CheckPrograms(cni); err != nil {
			return err
		}
	}
	if o.Bin == "" {
		o.Bin = os.Getenv(binEnv)
	}
	if o.Bin == "" {
		if o.Bin, err = testbin.Dir(); err != nil {
			return err
		}
	}
	if o.Cache == "" {
		if o.Cache, err = testbin.CacheDir(); err != nil {
			return err
		}
	}
	if o.Init == "" {
		if o.Init, err = os.Executable(); err != nil {
			return fmt.Errorf("finding lab's own program: %w", err)
		}
	}
	for _, path := range []*string{&o.Bin, &o.Cache, &o.Init} {
		if *path, err = filepath.Abs(*path); err != nil {
			return fmt.Errorf("finding folder: %w", err)
		}
	}
	return nil
}
