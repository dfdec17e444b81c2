package v1alpha1

import mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

// Label and annotation keys.
const (
	// LabelClusterSet on the hub's namespace holds the clusterset's ID: a hub without it is not
	// authoritative.
	LabelClusterSet = "clusterset.tombolo.dev/clusterset"
	// LabelGateway on a Node, with value "true", makes it a gateway. The cluster's admin sets it.
	LabelGateway = "clusterset.tombolo.dev/gateway"
	// AnnotationGatewayEndpoints on a Node lists the addresses that other clusters send to, best
	// first, separated by commas: IP, IPv4:port or [IPv6]:port. Without a port it is the gateway's
	// base port. It replaces ClusterSet.spec.gateway.endpoints for this node.
	AnnotationGatewayEndpoints = "clusterset.tombolo.dev/gateway-endpoints"
	// AnnotationGatewayDrain on a Node, with value "true", makes its gateway drain.
	AnnotationGatewayDrain = "clusterset.tombolo.dev/gateway-drain"
	// LabelNamespace on an EndpointSlice on the hub holds the namespace of the Service.
	LabelNamespace = "clusterset.tombolo.dev/namespace"
	// LabelSourceCluster holds the cluster ID that an object on the hub, or an imported slice,
	// comes from.
	LabelSourceCluster = mcsv1beta1.LabelSourceCluster
	// LabelServiceName on an EndpointSlice holds the name of the Service that it belongs to.
	LabelServiceName = mcsv1beta1.LabelServiceName
	// LabelEndpoints on an EndpointSlice on the hub, and on the one that its own cluster imports for it,
	// has the value EndpointsExternal if its endpoints are no pods: they can answer nodes of their
	// cluster, and nobody else.
	LabelEndpoints = "clusterset.tombolo.dev/endpoints"
	// ManagedBy is the value of endpointslice.kubernetes.io/managed-by on every slice that tombolo
	// writes.
	ManagedBy = "tombolo.dev"
	// LabelManagedBy, with value ManagedBy, is on every ServiceImport and Service that tombolo writes.
	// One without it belongs to another controller and is never touched.
	LabelManagedBy = "clusterset.tombolo.dev/managed-by"
	// AnnotationFirstShown on a ServiceImport holds, for each cluster that has exported the Service,
	// when its ServiceExport was made and when the hub first showed it, in seconds since 1970. The
	// operator tells from it which export is the oldest.
	AnnotationFirstShown = "clusterset.tombolo.dev/exports-first-shown"
	// AnnotationPartialView on a ServiceImport is there while the hub does not show the exports of all
	// clusters that it imports from. It holds, in JSON, what the others said when that began, so that
	// what they say anew is told from what they said before.
	AnnotationPartialView = "clusterset.tombolo.dev/partial-view"
	// AnnotationDerivedService on a ServiceImport names its derived Service. Programs that know
	// Services only find it there.
	AnnotationDerivedService = "multicluster.kubernetes.io/derived-service"
	// AnnotationPublishedCount and AnnotationPublishedDigest on a member's Lease say how many
	// ExportedServices and GatewayNodes it has on the hub, and a digest of their names.
	AnnotationPublishedCount  = "clusterset.tombolo.dev/published-count"
	AnnotationPublishedDigest = "clusterset.tombolo.dev/published-digest"
	// AnnotationKeptEndpoints on an ExportedService lists the addresses, separated by commas, that it
	// exports only because it did so before an admin had to allow that. The operator writes it with the
	// first hand-written EndpointSlice, and from then on only removes addresses.
	AnnotationKeptEndpoints = "clusterset.tombolo.dev/kept-endpoints"
	// AnnotationJoinSecret on the Secret with the hub's access names a Secret on the hub,
	// "<name>/<UID>". The join token is bound to it, and the operator has yet to delete it.
	AnnotationJoinSecret = "clusterset.tombolo.dev/join-secret"
	// AnnotationCorefile on CoreDNS's ConfigMap says what tombolo added to its Corefile, so that
	// exactly that can be removed again.
	AnnotationCorefile = "clusterset.tombolo.dev/corefile-additions"
	// AnnotationKeysMoved on the GatewayKeysSecret says that gateways keep their keys on their nodes:
	// the operator deletes it when it is empty.
	AnnotationKeysMoved = "clusterset.tombolo.dev/keys-moved"
	// AnnotationTransitAddress on a Node holds its transit addresses, separated by commas: the
	// source that other clusters see for its host-network clients. Only the operator assigns them.
	AnnotationTransitAddress = "clusterset.tombolo.dev/transit-address"
)

// EndpointsExternal is a value of LabelEndpoints.
const EndpointsExternal = "External"

// Names that are the same in every installation.
const (
	// DefaultNamespace is where operator and agents run.
	DefaultNamespace = "tombolo-system"
	// HubSecret is the Secret, in DefaultNamespace or where the operator runs, with the access
	// to the hub. The operator may read it, and no other one, and may renew its token.
	HubSecret = "tombolo-hub"
	// GatewayLeasePrefix and a node's name make the name of the Lease, in DefaultNamespace or
	// where the agents run, that the node's gateway renews.
	GatewayLeasePrefix = "gateway-"
	// GatewayKeysSecret is the Secret in which older versions kept the gateways' private keys, by node
	// name, in the agents' namespace. Each gateway moves its own to its node.
	GatewayKeysSecret = "tombolo-gateway-keys"
	// DefaultHubNamespace is the hub's namespace in the samples.
	DefaultHubNamespace = "tombolo-hub"
	// DerivedServicePrefix begins the names of derived Services.
	DerivedServicePrefix = "derived-"
	// MemberServiceAccountPrefix and a cluster ID make the ServiceAccount of a member on the hub.
	MemberServiceAccountPrefix = "member-"
)
