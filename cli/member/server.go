package member

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/cli/access"
)

// serverFor is the URL at which members reach the hub.
func (o *addOptions) serverFor(ctx context.Context, cluster *access.Cluster) (string, error) {
	if o.server != "" {
		return o.server, nil
	}
	u, err := url.Parse(cluster.Config.Host)
	if err != nil {
		return "", fmt.Errorf("reading the URL of the hub %q: %w", cluster.Config.Host, err)
	}
	if !isLoopback(u.Hostname()) {
		return cluster.Config.Host, nil
	}
	example, err := advertised(ctx, cluster)
	if err != nil {
		return "", err
	}
	return "", fmt.Errorf("--server is missing: your kubeconfig reaches the hub at %s, which another cluster cannot. Give the URL at which members "+
		"reach it; its own nodes reach it with --server %s", cluster.Config.Host, example)
}

// isLoopback tells whether only the machine itself can reach the host.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// advertised is the URL that the API server tells its own cluster.
func advertised(ctx context.Context, cluster client.Client) (string, error) {
	var slices discoveryv1.EndpointSliceList
	err := cluster.List(ctx, &slices, client.InNamespace(corev1.NamespaceDefault), client.MatchingLabels{discoveryv1.LabelServiceName: "kubernetes"})
	if err != nil {
		return "", fmt.Errorf("looking for the hub's own address: %w", err)
	}
	for _, s := range slices.Items {
		if len(s.Endpoints) > 0 && len(s.Endpoints[0].Addresses) > 0 && len(s.Ports) > 0 && s.Ports[0].Port != nil {
			return "https://" + net.JoinHostPort(s.Endpoints[0].Addresses[0], strconv.Itoa(int(*s.Ports[0].Port))), nil
		}
	}
	return "https://hub.example.com:6443", nil
}
