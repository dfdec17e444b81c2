package v1alpha1

// ClusterID names a cluster in its clusterset: one RFC 1123 label, immutable while the cluster is a
// member (KEP-2149).
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="a cluster ID is one RFC 1123 label: lower-case letters, digits and '-', beginning and ending with a letter or digit, 63 characters at most"
type ClusterID string

// The rule of CIDR compares with in, since Kubernetes 1.31 takes == between two CIDRs for too costly.

// CIDR is an IPv4 or IPv6 prefix in canonical text form, without host bits: 10.1.0.0/16,
// fd00:1::/64.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=43
// +kubebuilder:validation:XValidation:rule="isCIDR(self) && cidr(self) in [cidr(self).masked()]",message="must be an IPv4 or IPv6 CIDR without host bits, such as 10.1.0.0/16 or fd00:1::/64"
type CIDR string

// IPAddress is an IPv4 or IPv6 address in text form.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=45
// +kubebuilder:validation:XValidation:rule="isIP(self)",message="must be an IPv4 or IPv6 address, such as 192.0.2.1 or 2001:db8::1"
type IPAddress string

// Port is a TCP or UDP port number.
//
// +kubebuilder:validation:Minimum=1
// +kubebuilder:validation:Maximum=65535
type Port int32

// Lane is a small integer that a gateway holds, unique among its own cluster's gateways, 0 to 63.
//
// +kubebuilder:validation:Minimum=0
// +kubebuilder:validation:Maximum=63
type Lane int32

// MaxLanes is how many gateways one cluster may have: lanes are 0 to MaxLanes-1.
const MaxLanes = 64

// Endpoint is a UDP address at which a gateway can be reached.
type Endpoint struct {
	// address of the gateway as other clusters see it.
	Address IPAddress `json:"address"`
	// port is the base port: on a gateway with lane i, device tombolo<j> listens on port+j.
	Port Port `json:"port"`
}

// NamespacePattern is a namespace, or the beginning of namespaces' names and a *: shop, team-*, *.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?|([a-z0-9][-a-z0-9]*)?[*])$')",message="must be a namespace's name, or the beginning of one and a '*' at its end, such as shop or team-*"
type NamespacePattern string
