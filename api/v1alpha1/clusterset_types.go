package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ClusterSetName is the name of the one ClusterSet object of a cluster.
const ClusterSetName = "default"

// DataplaneBackend is how a node serves clusterset IPs.
//
// +kubebuilder:validation:Enum=auto;ipvs;nftables
type DataplaneBackend string

const (
	// BackendAuto is IPVS where that is safe beside the node's kube-proxy, otherwise nftables.
	BackendAuto DataplaneBackend = "auto"
	// BackendIPVS is IPVS, whatever kube-proxy the node has.
	BackendIPVS DataplaneBackend = "ipvs"
	// BackendNFTables is nftables.
	BackendNFTables DataplaneBackend = "nftables"
)

// Locality says where flows go when a Service has no trafficDistribution.
//
// +kubebuilder:validation:Enum=None;LocalFirst
type Locality string

const (
	// LocalityNone treats all endpoints of the clusterset alike, as KEP-1645 says.
	LocalityNone Locality = "None"
	// LocalityLocalFirst prefers the nearest endpoints: of the node, the zone, the cluster.
	LocalityLocalFirst Locality = "LocalFirst"
)

// DNSMode says who configures CoreDNS.
//
// +kubebuilder:validation:Enum=Manual;Managed
type DNSMode string

const (
	// DNSManual leaves the Corefile to the cluster's admin.
	DNSManual DNSMode = "Manual"
	// DNSManaged lets the operator add what clusterset.local needs to kube-system/coredns.
	DNSManaged DNSMode = "Managed"
)

// EndpointSource is a type of a Node's addresses that a gateway publishes as its endpoints.
//
// +kubebuilder:validation:Enum=ExternalIP;InternalIP
type EndpointSource string

const (
	// EndpointExternalIP publishes the addresses of type ExternalIP in Node.status.addresses.
	EndpointExternalIP EndpointSource = "ExternalIP"
	// EndpointInternalIP publishes those of type InternalIP.
	EndpointInternalIP EndpointSource = "InternalIP"
)

// WireGuardMode says which WireGuard a gateway uses.
//
// +kubebuilder:validation:Enum=auto;kernel;userspace
type WireGuardMode string

const (
	// WireGuardAuto is the kernel's WireGuard, or the agent's own where the kernel has none.
	WireGuardAuto WireGuardMode = "auto"
	// WireGuardKernel is the kernel's WireGuard.
	WireGuardKernel WireGuardMode = "kernel"
	// WireGuardUserspace is the agent's own WireGuard, on a TUN device.
	WireGuardUserspace WireGuardMode = "userspace"
)

// IngressMode says what of other clusters' packets the gateways admit.
//
// +kubebuilder:validation:Enum=Exported;Any
type IngressMode string

const (
	// IngressExported admits what goes to exported endpoints, answers, ICMP errors and some echoes.
	IngressExported IngressMode = "Exported"
	// IngressAny admits all packets of members to this cluster's CIDRs.
	IngressAny IngressMode = "Any"
)

// ClusterSetSpec says which clusterset this cluster belongs to and how its agents behave.
//
// +kubebuilder:validation:XValidation:rule="self.clusterID == oldSelf.clusterID",message="clusterID is immutable: to rename a cluster, delete the ClusterSet (it leaves the clusterset) and create it again",optionalOldSelf=false
type ClusterSetSpec struct {
	// clusterSetID names the clusterset: one RFC 1123 label. The hub's namespace carries the same
	// ID in its label clusterset.tombolo.dev/clusterset; a hub with another ID is not read and not
	// written.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="a clusterset ID is one RFC 1123 label: lower-case letters, digits and '-', 63 characters at most"
	ClusterSetID string `json:"clusterSetID"`

	// clusterID names this cluster; the hub holds a Member of that name.
	ClusterID ClusterID `json:"clusterID"`

	// hub says how this cluster reaches the hub.
	Hub HubAccess `json:"hub"`

	// vipCIDRs are the blocks that clusterset IPs come from, at most one per IP family. They must
	// not overlap pods, services, nodes or any member's CIDRs. If there is none of IPv6, a /112 of a
	// unique local prefix is used that follows from clusterSetID. There are clusterset IPs only of
	// the IP families that spec.cidrs of this cluster's Member have.
	//
	// +kubebuilder:default={"244.0.0.0/16"}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:XValidation:rule="self.all(c, self.exists_one(d, isCIDR(c) && isCIDR(d) && cidr(c).ip().family() == cidr(d).ip().family()))",message="at most one VIP CIDR per IP family"
	// +listType=atomic
	// +optional
	VIPCIDRs []CIDR `json:"vipCIDRs,omitempty"`

	// transitCIDR is the IPv4 block for the addresses of gateways' tunnels and of nodes. It must be
	// the same in every member: each Member gets a /20 of it, by its index. A node's transit
	// address is the source of its host-network clients.
	//
	// +kubebuilder:default="245.0.0.0/8"
	// +kubebuilder:validation:XValidation:rule="isCIDR(self) && cidr(self).ip().family() == 4 && cidr(self).prefixLength() <= 8",message="must be an IPv4 CIDR of /8 or larger, so that every Member index (1-4095) has a /20"
	// +optional
	TransitCIDR CIDR `json:"transitCIDR,omitempty"`

	// gateway holds the options of this cluster's gateways.
	//
	// +kubebuilder:default={}
	// +optional
	Gateway GatewayOptions `json:"gateway,omitzero"`

	// dataplane holds the options of the dataplane on every node.
	//
	// +kubebuilder:default={}
	// +optional
	Dataplane DataplaneOptions `json:"dataplane,omitzero"`

	// exportNamespaces selects, by their labels, the namespaces that may export Services. Omit it
	// to allow all. A ServiceExport in another namespace is refused, and its condition Ready says
	// so.
	//
	// +optional
	ExportNamespaces *metav1.LabelSelector `json:"exportNamespaces,omitempty"`

	// importNamespaces selects, by their labels, the namespaces into which Services are imported.
	// Omit it to allow all but system namespaces: default, kube-* and that of tombolo. Services are
	// imported into those only if the selector selects them; {} selects all.
	//
	// +optional
	ImportNamespaces *metav1.LabelSelector `json:"importNamespaces,omitempty"`

	// derivedServices makes a Service beside each ServiceImport that it selects, for programs that
	// know Services only: kube-proxy, Ingress controllers, meshes. The ServiceImport's annotation
	// multicluster.kubernetes.io/derived-service names it. Omit it to make none; {} selects all.
	//
	// +optional
	DerivedServices *DerivedServices `json:"derivedServices,omitempty"`

	// acceptCIDRs limits which addresses other members may have: all of a Member's CIDRs must lie in
	// them. Omit it to accept any that collide with nothing here.
	//
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +optional
	AcceptCIDRs []CIDR `json:"acceptCIDRs,omitempty"`

	// externalEndpoints says who may export endpoints that are no pods, such as virtual machines, by an
	// EndpointSlice that somebody writes: for a Service without selector, for example. Omit it to allow
	// that to nobody. Pods of the Service's own namespace need no permission.
	//
	// +optional
	ExternalEndpoints *ExternalEndpoints `json:"externalEndpoints,omitempty"`

	// endpointsPerSlice is the largest number of endpoints in an EndpointSlice that this cluster
	// publishes.
	//
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	EndpointsPerSlice int32 `json:"endpointsPerSlice,omitempty"`

	// dns says who configures CoreDNS for clusterset.local.
	//
	// +kubebuilder:default=Manual
	// +optional
	DNS DNSMode `json:"dns,omitempty"`
}

// ExternalEndpoints says who may export endpoints that are no pods.
type ExternalEndpoints struct {
	// namespaceSelector selects namespaces by their labels; {} selects all. Who may write EndpointSlices
	// in such a namespace opens, to all clusters that import the Service, every address inside this
	// cluster's CIDRs that is not a pod's, a node's, a Service's or the API server's: on any port, past
	// the gateways' filter.
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector"`
}

// DerivedServices selects the ServiceImports that get a derived Service: those that both selectors
// select.
type DerivedServices struct {
	// namespaceSelector selects ServiceImports by the labels of their namespaces. Omit it to select
	// those of all namespaces.
	//
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// importSelector selects ServiceImports by their own labels. These are the exportedLabels of the
	// ServiceExport, and what users of the namespace have added. Omit it to select all.
	//
	// +optional
	ImportSelector *metav1.LabelSelector `json:"importSelector,omitempty"`
}

// HubAccess says how a member reaches the hub.
type HubAccess struct {
	// server is the URL of the hub's Kubernetes API server.
	//
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() == 'https'",message="must be an https URL, such as https://hub.example.com:6443"
	Server string `json:"server"`

	// secretRef names the Secret tombolo-hub in the operator's namespace. The operator may read no
	// other. Its keys are token (of the member's account on the hub), ca.crt (of the hub's API server)
	// and namespace (the hub's).
	SecretRef SecretReference `json:"secretRef"`
}

// SecretReference names a Secret in the operator's own namespace.
type SecretReference struct {
	// name of the Secret.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// GatewayOptions are the options of a cluster's gateways.
type GatewayOptions struct {
	// port is the base UDP port of the tunnels: device tombolo<j> listens on port+j.
	//
	// +kubebuilder:default=51820
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65472
	// +optional
	Port Port `json:"port,omitempty"`

	// endpoints are the types of a gateway node's addresses that other clusters may send to, best
	// first. The annotation clusterset.tombolo.dev/gateway-endpoints on a Node replaces them for
	// that node.
	//
	// +kubebuilder:default={ExternalIP,InternalIP}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	// +listType=set
	// +optional
	Endpoints []EndpointSource `json:"endpoints,omitempty"`

	// wireguard says which WireGuard the gateways use: auto is the kernel's, or one in the agent
	// where the kernel has none.
	//
	// +kubebuilder:default=auto
	// +optional
	WireGuard WireGuardMode `json:"wireguard,omitempty"`

	// ingress says what of other clusters' packets the gateways admit. Exported admits what goes to
	// endpoints of exported Services, answers from endpoints of the sender's exported Services, ICMP
	// errors, and some echoes. Any admits every packet of a member.
	//
	// +kubebuilder:default=Exported
	// +optional
	Ingress IngressMode `json:"ingress,omitempty"`
}

// DataplaneOptions are the options of the dataplane on every node.
type DataplaneOptions struct {
	// backend says how nodes serve clusterset IPs.
	//
	// +kubebuilder:default=auto
	// +optional
	Backend DataplaneBackend `json:"backend,omitempty"`

	// locality says where flows go when a Service has no trafficDistribution.
	//
	// +kubebuilder:default=None
	// +optional
	Locality Locality `json:"locality,omitempty"`

	// failBackSeconds is how long preferred endpoints that had failed must be ready again before
	// flows go back to them: 0 to 3600 s, default 30 s. It keeps flows from moving back and forth.
	//
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	// +optional
	FailBackSeconds *int32 `json:"failBackSeconds,omitempty"`

	// counters makes nodes that serve with nftables count the new flows to each port of each
	// clusterset IP. `nft list map inet tombolo-services services4` (or services6) shows the
	// counts. IPVS always counts. When you turn counters on or off, clients with session affinity
	// may get another endpoint once.
	//
	// +optional
	Counters bool `json:"counters,omitempty"`

	// vxlanPort is the UDP port of the VXLAN that joins a cluster's nodes with its gateways.
	//
	// +kubebuilder:default=7473
	// +optional
	VXLANPort Port `json:"vxlanPort,omitempty"`

	// vxlanID is the network identifier (VNI) of that VXLAN.
	//
	// +kubebuilder:default=7473
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16777215
	// +optional
	VXLANID int32 `json:"vxlanID,omitempty"`
}

// ClusterSetStatus is what the operator knows about the clusterset.
type ClusterSetStatus struct {
	// members is how many approved members the hub lists, this cluster among them.
	//
	// +optional
	Members int32 `json:"members,omitempty"`

	// index is this cluster's own Member.spec.index; zero until the operator has read it from the
	// hub.
	//
	// +optional
	Index int32 `json:"index,omitempty"`

	// cidrs are this cluster's own approved CIDRs (Member.spec.cidrs).
	//
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +optional
	CIDRs []CIDR `json:"cidrs,omitempty"`

	// region is this cluster's own (Member.spec.region).
	//
	// +optional
	Region string `json:"region,omitempty"`
	// zoneDomain is this cluster's own (Member.spec.zoneDomain). Region and zone domain decide whether
	// zones of equal name are the same zone.
	//
	// +optional
	ZoneDomain string `json:"zoneDomain,omitempty"`

	// observedGeneration is the generation of the object that the conditions speak of. It is -1 until
	// the operator has seen the object.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Installed, Accepted, HubConnected, DNSReady, AddressesApproved, and ClusterProperties
	// and ClusterProfiles where the API server serves these kinds. Ready sums up the first four,
	// DNSReady only if spec.dns is Managed. Stalled is True if Accepted is not.
	//
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ClusterSet joins this cluster to a clusterset. A cluster has one, named "default", which the
// cluster's admin writes.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=cset
// +kubebuilder:printcolumn:name="ClusterSet",type=string,JSONPath=`.spec.clusterSetID`
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.spec.clusterID`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Addresses",type=string,JSONPath=`.status.conditions[?(@.type=="AddressesApproved")].reason`
// +kubebuilder:printcolumn:name="Hub",type=string,JSONPath=`.status.conditions[?(@.type=="HubConnected")].reason`
// +kubebuilder:printcolumn:name="Members",type=integer,JSONPath=`.status.members`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name == 'default'",message="a cluster belongs to one clusterset: the ClusterSet must be named 'default'"
type ClusterSet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ClusterSetSpec `json:"spec"`
	// +kubebuilder:default={"observedGeneration":-1}
	Status ClusterSetStatus `json:"status,omitzero"`
}

// ClusterSetList is a list of ClusterSets.
//
// +kubebuilder:object:root=true
type ClusterSetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterSet `json:"items"`
}
