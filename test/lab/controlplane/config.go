package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/tombolo-net/tombolo/hack/testbin"
)

// Dialer opens a connection to a node. The address is one of the node's InternalIPs with a port.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Config says which control planes run and where.
type Config struct {
	// Clusters are the API servers, in the order of their contexts in the merged kubeconfig.
	Clusters []ClusterConfig // required, names unique

	// Dir holds certificates, kubeconfigs, etcd's data and logs. Stop leaves it as it is, unless it
	// was made here.
	Dir string // optional, default a new folder in os.TempDir that Stop removes

	// Bin holds etcd, kube-apiserver and what else the clusters need.
	Bin string // optional, default testbin.Dir

	// HostAddresses are the addresses at which nodes see the host's loopback, one of each IP family
	// that a cluster has. Each API server advertises that of its primary family, so that it is the
	// endpoint of the Service kubernetes.
	HostAddresses []netip.Addr // optional, default none: the clusters have no nodes

	// DialNode reaches the nodes. All that an API server sends to kubelets goes through it.
	DialNode Dialer // optional, default none
}

// ClusterConfig is one cluster's control plane.
type ClusterConfig struct {
	Name string // required, an RFC 1123 label

	// PodCIDRs and ServiceCIDRs are one prefix for each IP family, the primary family first.
	PodCIDRs     []netip.Prefix // optional, default none: no node gets a range of pod addresses
	ServiceCIDRs []netip.Prefix // optional, default 10.96.0.0/16

	// Controllers are those of the kube-controller-manager, as its flag --controllers takes them.
	Controllers []string // optional, default none: no kube-controller-manager runs

	// Scheduler says whether a kube-scheduler runs.
	Scheduler bool
}

// AllControllers are those of an ordinary cluster with nodes, but for the cloud's. The result is
// the caller's.
func AllControllers() []string { return []string{"*"} }

// HubControllers are those that a hub needs, a cluster without nodes: namespaces come with their
// ServiceAccount and ConfigMap and go with what is in them, ServiceAccount tokens in Secrets are
// filled in, and admission policies are type-checked. The result is the caller's.
func HubControllers() []string {
	return []string{
		"namespace-controller",
		"serviceaccount-controller",
		"serviceaccount-token-controller",
		"root-ca-certificate-publisher-controller",
		"garbage-collector-controller",
		"validatingadmissionpolicy-status-controller",
	}
}

// binEnv names the folder of the test binaries, when it is not the cache's.
const binEnv = "TOMBOLO_TESTBIN"

func (c Config) withDefaults() (Config, error) {
	if len(c.Clusters) == 0 {
		return c, errors.New("no cluster given")
	}
	if c.Bin == "" {
		c.Bin = os.Getenv(binEnv)
	}
	if c.Bin == "" {
		dir, err := testbin.Dir()
		if err != nil {
			return c, err
		}
		c.Bin = dir
	}
	seen := map[string]bool{}
	clusters := make([]ClusterConfig, 0, len(c.Clusters))
	for _, cluster := range c.Clusters {
		if cluster.Name == "" || seen[cluster.Name] {
			return c, fmt.Errorf("cluster name %q is empty or given twice", cluster.Name)
		}
		seen[cluster.Name] = true
		if len(cluster.ServiceCIDRs) == 0 {
			cluster.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}
		}
		clusters = append(clusters, cluster)
	}
	c.Clusters = clusters
	return c, nil
}
