package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// Cluster is the control plane of one cluster. It is safe for concurrent use.
type Cluster struct {
	config    ClusterConfig
	dir       string       // of this cluster's files
	addresses []netip.Addr // at which nodes see the host's loopback; the loopback itself without nodes
	port      uint16       // of the API server
	ca        *authority
	pairs     map[string]KeyPair // by the name of their files

	controllers, scheduler *process

	mu        sync.Mutex                  // of what changes after the start
	apiserver *process                    // guarded by mu
	stopped   bool                        // guarded by mu; StopAPIServer has ended it
	restart   func(context.Context) error // starts the API server again
}

// Name returns the cluster's name, which is also its context in the merged kubeconfig.
func (c *Cluster) Name() string { return c.config.Name }

// RESTConfig returns a new configuration of the cluster's administrator (group system:masters), for
// clients on the host. Set Impersonate on it to be somebody else.
func (c *Cluster) RESTConfig() *rest.Config {
	return &rest.Config{
		Host:  c.hostURL(),
		QPS:   500, // a test's client must not be what is measured
		Burst: 1000,
		TLSClientConfig: rest.TLSClientConfig{
			CAData:   c.ca.pair.Cert,
			CertData: c.pairs[adminFile].Cert,
			KeyData:  c.pairs[adminFile].Key,
		},
	}
}

// CA returns the certificate of the cluster's authority, PEM.
func (c *Cluster) CA() []byte { return c.ca.pair.Cert }

// NodeURL returns the API server's URL as the cluster's own nodes and pods reach it, at an address
// of the cluster's primary IP family. Without Config.HostAddresses it is the host's own.
func (c *Cluster) NodeURL() string { return c.NodeURLFor(c.config.ServiceCIDRs[0].Addr().Is4()) }

// NodeURLFor returns the API server's URL as nodes and pods reach it over IPv4 or IPv6.
func (c *Cluster) NodeURLFor(is4 bool) string {
	return "https://" + netip.AddrPortFrom(c.address(is4), c.port).String()
}

// address is that of the host's loopback, of the family if there is one of it.
func (c *Cluster) address(is4 bool) netip.Addr {
	for _, a := range c.addresses {
		if a.Is4() == is4 {
			return a
		}
	}
	return c.addresses[0]
}

// Kubeconfig returns the path of the administrator's kubeconfig, for clients on the host.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.dir, "admin.kubeconfig") }

// hostURL is the API server's URL on the host.
func (c *Cluster) hostURL() string {
	return "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(int(c.port)))
}

// NodeFiles is what a node needs to join the cluster.
type NodeFiles struct {
	CA              []byte  // PEM
	Kubelet         KeyPair // with which the kubelet serves
	KubeletConfig   []byte  // kubeconfig of the kubelet, user system:node:<name>
	KubeProxyConfig []byte  // kubeconfig of kube-proxy, user system:kube-proxy
}

// NodeFiles issues what the node of this name and these addresses needs.
func (c *Cluster) NodeFiles(name string, addresses []netip.Addr) (NodeFiles, error) {
	hosts := []string{name}
	for _, a := range addresses {
		hosts = append(hosts, a.String())
	}
	server, err := c.ca.issue(subject{name: "system:node:" + name, groups: []string{"system:nodes"}, hosts: hosts})
	if err != nil {
		return NodeFiles{}, err
	}
	kubelet, err := c.nodeKubeconfig(subject{name: "system:node:" + name, groups: []string{"system:nodes"}})
	if err != nil {
		return NodeFiles{}, err
	}
	proxy, err := c.nodeKubeconfig(subject{name: "system:kube-proxy"})
	if err != nil {
		return NodeFiles{}, err
	}
	return NodeFiles{CA: c.CA(), Kubelet: server, KubeletConfig: kubelet, KubeProxyConfig: proxy}, nil
}

// nodeKubeconfig returns the kubeconfig of a client on a node.
func (c *Cluster) nodeKubeconfig(s subject) ([]byte, error) {
	pair, err := c.ca.issue(s)
	if err != nil {
		return nil, err
	}
	return kubeconfig(access{context: c.Name(), server: c.NodeURL(), ca: c.CA(), pair: pair})
}

// adminAccess is the administrator's, on the host.
func (c *Cluster) adminAccess() access {
	return access{context: c.Name(), server: c.hostURL(), ca: c.CA(), pair: c.pairs[adminFile]}
}

// write puts name into the cluster's folder. Only its owner may read it.
func (c *Cluster) write(name string, data []byte) error {
	if err := os.WriteFile(filepath.Join(c.dir, name), data, 0o600); err != nil {
		return fmt.Errorf("writing %s of cluster %s: %w", name, c.Name(), err)
	}
	return nil
}

// stop ends what runs, at once: none of it holds anything that is needed later, and an API server
// that is asked to end waits for the watches of nodes that are gone.
func (c *Cluster) stop() {
	c.controllers.stop(0)
	c.scheduler.stop(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.apiserver.stop(0)
}

// ready asks the API server whether it serves, its own start-up work (RBAC's default roles)
// included.
func (c *Cluster) ready(client *http.Client) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.hostURL()+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close() // nothing is read from it
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("readyz: %s", response.Status)
		}
		return nil
	}
}

// issueCertificates makes the cluster's authority and what its API server, controllers and
// administrator need.
func (c *Cluster) issueCertificates() error {
	ca, err := newAuthority(c.Name())
	if err != nil {
		return err
	}
	private, public, err := newTokenKey()
	if err != nil {
		return err
	}
	files := map[string][]byte{"ca.crt": ca.pair.Cert, "ca.key": ca.pair.Key, "sa.key": private, "sa.pub": public}
	pairs := map[string]KeyPair{}
	for file, s := range c.subjects() {
		pair, err := ca.issue(s)
		if err != nil {
			return err
		}
		pairs[file] = pair
		files[file+".crt"], files[file+".key"] = pair.Cert, pair.Key
	}
	c.ca, c.pairs = ca, pairs
	var errs []error
	for name, data := range files {
		errs = append(errs, c.write(name, data))
	}
	return errors.Join(errs...)
}

// The files of the control plane's certificates, without .crt and .key.
const (
	apiserverFile        = "apiserver"
	apiserverKubeletFile = "apiserver-kubelet"
	adminFile            = "admin"
	controllersFile      = "controllers"
	schedulerFile        = "scheduler"
)

// subjects are the holders of the control plane's certificates, by the name of their files.
func (c *Cluster) subjects() map[string]subject {
	admins := []string{"system:masters"}
	return map[string]subject{
		apiserverFile:        {name: "kube-apiserver", hosts: c.serverNames()},
		apiserverKubeletFile: {name: "kube-apiserver-kubelet-client", groups: admins},
		adminFile:            {name: "admin", groups: admins},
		controllersFile:      {name: "system:kube-controller-manager"},
		schedulerFile:        {name: "system:kube-scheduler"},
	}
}

// serverNames are the names and addresses under which the API server is spoken to.
func (c *Cluster) serverNames() []string {
	names := []string{
		"localhost", "127.0.0.1",
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}
	for _, a := range c.addresses {
		names = append(names, a.String())
	}
	for _, cidr := range c.config.ServiceCIDRs {
		names = append(names, cidr.Masked().Addr().Next().String()) // the address of the Service kubernetes
	}
	return names
}

func joinPrefixes(prefixes []netip.Prefix) string {
	all := make([]string, 0, len(prefixes))
	for _, p := range prefixes {
		all = append(all, p.String())
	}
	return strings.Join(all, ",")
}
