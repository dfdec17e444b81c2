package explain

import (
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// Facts are what an answer is made of.
type Facts struct {
	Name   Name
	Client Client
	// Clusters that were asked, the client's first.
	Clusters []Cluster // required: one
	// IfDown is the cluster that the user would lose; empty: none.
	IfDown v1alpha1.ClusterID
	// Now is the time.
	Now time.Time
}

// Client is who asks for the name.
type Client struct {
	Cluster v1alpha1.ClusterID `json:"cluster"`
	// Node that the client runs on.
	Node string `json:"node,omitempty"`
	// Pod is namespace/name; empty: any pod of the node.
	Pod string `json:"pod,omitempty"`
	// Addresses of the pod.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// Told is what was found out inside the pod; nil: nobody asked there.
	Told *Told `json:"-"`
}

// Cluster is what one cluster holds for the name.
type Cluster struct {
	topology.Snapshot
	// Namespace of the name; nil: the cluster has none.
	Namespace *corev1.Namespace
	// Service of the name; nil: the cluster has none.
	Service *corev1.Service
	// Slices are the Service's own EndpointSlices, and Pods those that its selector selects.
	Slices []discoveryv1.EndpointSlice
	Pods   []corev1.Pod
	// NetworkPolicies of the namespace.
	NetworkPolicies []networkingv1.NetworkPolicy
	// Claims are the Services of the client's cluster, of all namespaces, with addresses of their
	// own choice.
	Claims []Claim
	// DNSServer is where the cluster's pods ask, such as 10.0.0.10:53; empty: not known.
	DNSServer string
	// Told is what nodes answered, by the node's name.
	Told map[string]Told
}

// Told is what one node's agent answered.
type Told struct {
	// Away says that it does not run, and why; empty: it runs.
	Away string
	// Unasked says why it could not be asked although it may run, such as for lack of the user's rights;
	// empty: it was asked.
	Unasked string
	Reply
}

// Question is what a node's agent is asked. What is empty is not asked.
type Question struct {
	// Import is namespace/name of a ServiceImport: where do its flows go?
	Import string `json:"import,omitempty"`
	// Names are DNS names to ask Server for. If that is empty, the first server of /etc/resolv.conf is
	// asked.
	Names  []string `json:"names,omitempty"`
	Server string   `json:"server,omitempty"`
	// Connect are addresses with ports to connect to, by TCP.
	Connect []string `json:"connect,omitempty"`
	// Datagrams are addresses with ports to send an empty datagram to, by UDP.
	Datagrams []string `json:"datagrams,omitempty"`
	// Full are addresses to which packets are sent that are as large as the route there carries.
	Full []netip.Addr `json:"full,omitempty"`
}

// Claim is a Service that wants an address to lead to it.
type Claim struct {
	// Service is its namespace/name, and Field the one with the address.
	Service, Field string
	Address        netip.Addr
}

// Reply is the answer to a Question.
type Reply struct {
	Decision *plan.Explained `json:"decision,omitempty"`
	// NoDecision says why there is none; empty: there is one, or it was not asked for.
	NoDecision string `json:"noDecision,omitempty"`
	// Silent: the agent runs, and does not answer.
	Silent    bool                    `json:"silent,omitempty"`
	Gateways  []plan.ExplainedGateway `json:"gateways,omitempty"`
	DNS       []DNSReply              `json:"dns,omitempty"`
	Connected []Connected             `json:"connected,omitempty"`
	// Sent says how the datagrams fared: open if there was an answer, timeout if nothing came back.
	Sent []Connected `json:"sent,omitempty"`
	Full []Full      `json:"full,omitempty"`
	// NoIPv6 says why the node has no IPv6; empty: it has, or an older agent does not tell.
	NoIPv6 string `json:"noIPv6,omitempty"`
}

// DNSReply is what the server answers about one name and type.
type DNSReply struct {
	Name string `json:"name"`
	Type string `json:"type"` // A or AAAA
	// Code is the response code, such as NOERROR or NXDOMAIN; empty: there was no answer.
	Code      string       `json:"code,omitempty"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// Error says why there was no answer.
	Error string `json:"error,omitempty"`
}

// Connected is how an attempt to connect went.
type Connected struct {
	To string `json:"to"`
	// Outcome is open, refused, timeout or unreachable.
	Outcome Outcome `json:"outcome"`
	Error   string  `json:"error,omitempty"`
}

// Full is how large packets fare on the way to an address.
type Full struct {
	To netip.Addr `json:"to"`
	// Bytes of each IP packet.
	Bytes int `json:"bytes"`
	// Outcome is open if they arrive, and timeout if they are lost while small ones arrive. Empty: it
	// is not known, since nothing came back of either.
	Outcome Outcome `json:"outcome,omitempty"`
	Error   string  `json:"error,omitempty"`
}

// Outcome of an attempt to connect.
type Outcome string

// The outcomes.
const (
	Open        Outcome = "open"
	Refused     Outcome = "refused"
	TimedOut    Outcome = "timeout"
	Unreachable Outcome = "unreachable"
)
