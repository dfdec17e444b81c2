package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// maxEndpoints is how many endpoints a GatewayNode may have (its CRD).
const maxEndpoints = 8

// endpoints are where other clusters reach the gateway, best first.
type endpoints struct {
	list []v1alpha1.Endpoint
	// fault says what is wrong with what the user wrote, and what to do; empty if nothing is.
	fault string
}

// endpointsOf are the endpoints that the Node's annotation names, else its addresses of the types
// that the ClusterSet names. base is the base port.
func endpointsOf(node *corev1.Node, sources []v1alpha1.EndpointSource, base v1alpha1.Port) endpoints {
	if text := strings.TrimSpace(node.Annotations[v1alpha1.AnnotationGatewayEndpoints]); text != "" {
		return annotatedEndpoints(node.Name, text, base)
	}
	if len(sources) == 0 { // the ClusterSet is of an older version
		sources = []v1alpha1.EndpointSource{v1alpha1.EndpointExternalIP, v1alpha1.EndpointInternalIP}
	}
	var e endpoints
	for _, source := range sources {
		for _, addr := range clusterset.AddressesOf(node, corev1.NodeAddressType(source)) {
			e.add(v1alpha1.Endpoint{Address: v1alpha1.IPAddress(addr.String()), Port: base})
		}
	}
	if len(e.list) == 0 {
		e.fault = fmt.Sprintf("node %s has no address of type %s: set ClusterSet.spec.gateway.endpoints, or annotate the Node with %s",
			node.Name, joinSources(sources), v1alpha1.AnnotationGatewayEndpoints)
	}
	return e
}

func annotatedEndpoints(node, text string, base v1alpha1.Port) endpoints {
	var e endpoints
	var wrong []string
	for entry := range strings.SplitSeq(text, ",") {
		entry = strings.TrimSpace(entry)
		if endpoint, ok := parseEndpoint(entry, base); ok {
			e.add(endpoint)
			continue
		}
		if len(entry) > 60 {
			entry = entry[:60] + "..."
		}
		wrong = append(wrong, fmt.Sprintf("%q", entry))
	}
	if len(wrong) > 0 {
		e.fault = fmt.Sprintf("node %s, annotation %s: %s is no address that others reach: write IP, IPv4:port or [IPv6]:port, separated by commas",
			node, v1alpha1.AnnotationGatewayEndpoints, clusterset.NameSome(wrong))
	}
	return e
}

// add appends the endpoint unless it is there, or there are as many as a GatewayNode may have.
func (e *endpoints) add(endpoint v1alpha1.Endpoint) {
	if !slices.Contains(e.list, endpoint) && len(e.list) < maxEndpoints {
		e.list = append(e.list, endpoint)
	}
}

// parseEndpoint reads an address with or without a port.
func parseEndpoint(text string, base v1alpha1.Port) (v1alpha1.Endpoint, bool) {
	at, err := netip.ParseAddrPort(text)
	if err != nil {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return v1alpha1.Endpoint{}, false
		}
		at = netip.AddrPortFrom(addr, uint16(base))
	}
	addr := at.Addr().Unmap()
	if at.Port() == 0 || addr.Zone() != "" || !addr.IsGlobalUnicast() {
		return v1alpha1.Endpoint{}, false
	}
	return v1alpha1.Endpoint{Address: v1alpha1.IPAddress(addr.String()), Port: v1alpha1.Port(at.Port())}, true
}

func joinSources(sources []v1alpha1.EndpointSource) string {
	words := make([]string, 0, len(sources))
	for _, s := range sources {
		words = append(words, string(s))
	}
	return strings.Join(words, " or ")
}

// endpointsToPublish are the endpoints of the node at the port that its devices have. What is
// published already stays while it is not known that they have a port, and if the user's entries are
// all wrong.
func endpointsToPublish(o objects, r *tunnelResult) endpoints {
	base := o.clusterSet.Spec.Gateway.Port
	bound := r != nil && r.port != 0
	if bound {
		base = r.port
	}
	e := endpointsOf(o.node, o.clusterSet.Spec.Gateway.Endpoints, base)
	if o.gateway != nil && (!bound || len(e.list) == 0) {
		e.list = o.gateway.Spec.Endpoints
	}
	return e
}
