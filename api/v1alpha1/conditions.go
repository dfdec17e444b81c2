package v1alpha1

// Condition types of tombolo's kinds. Their messages name the object, the value and the remedy.
const (
	// ConditionAccepted (ClusterSet, RemoteCluster, TrafficPolicy): the object does not collide
	// with what is already in use.
	ConditionAccepted = "Accepted"
	// ConditionInstalled (ClusterSet): the installation is complete. The CRDs have every field that
	// this version uses, and the admission policies refuse.
	ConditionInstalled = "Installed"
	// ConditionHubConnected (ClusterSet): the operator is in step with the hub.
	ConditionHubConnected = "HubConnected"
	// ConditionReachable (RemoteCluster): at least one link is up.
	ConditionReachable = "Reachable"
	// ConditionContentAccepted (RemoteCluster): everything that the cluster publishes is used.
	// Otherwise the message names what is skipped, and why.
	ConditionContentAccepted = "ContentAccepted"
	// ConditionDNSReady (ClusterSet): CoreDNS is configured to answer for clusterset.local, and answers.
	ConditionDNSReady = "DNSReady"
	// ConditionAddressesApproved (ClusterSet): the approved CIDRs hold this cluster's pods, as far as
	// Nodes and EndpointSlices show them. Otherwise the message names what lies outside.
	ConditionAddressesApproved = "AddressesApproved"
	// ConditionClusterProperties (ClusterSet): the About API's ClusterProperty objects say what
	// this cluster is. The condition exists only where the API server serves that kind.
	ConditionClusterProperties = "ClusterProperties"
	// ConditionClusterProfiles (ClusterSet): each RemoteCluster has a ClusterProfile of the Cluster
	// Inventory API. The condition exists only where the API server serves that kind.
	ConditionClusterProfiles = "ClusterProfiles"
	// ConditionReady (GatewayNode): the gateway works. (ClusterSet, RemoteCluster, TrafficPolicy): a
	// summary of the other conditions, for tools that wait until an object works.
	ConditionReady = "Ready"
	// ConditionStalled (ClusterSet, RemoteCluster, TrafficPolicy) is True while the object is refused,
	// and waiting would not help. (GatewayNode): while the gateway is not alive. Otherwise it is absent.
	ConditionStalled = "Stalled"
	// ConditionDraining (GatewayNode): flows should leave the gateway while another one is there.
	// It still forwards what comes.
	ConditionDraining = "Draining"
	// ConditionAlive (GatewayNode): the gateway's agent renews its Lease.
	ConditionAlive = "Alive"
	// NodeConditionDataplane is the type of the condition that the dataplane writes on its own
	// Node.
	NodeConditionDataplane = "clusterset.tombolo.dev/Dataplane"
)

// Reasons of the conditions above.
const (
	ReasonAccepted = "Accepted"
	// ReasonInvalidCIDR: a CIDR cannot be parsed or has host bits.
	ReasonInvalidCIDR = "InvalidCIDR"
	// ReasonCIDROverlap: a CIDR overlaps one that is in use; the message names both.
	ReasonCIDROverlap = "CIDROverlap"
	// ReasonReservedCIDR: a CIDR holds addresses that no cluster's pods can have: loopback,
	// link-local, multicast, or a default route.
	ReasonReservedCIDR = "ReservedCIDR"
	// ReasonCIDRNotAccepted: a Member's CIDR lies outside ClusterSet.spec.acceptCIDRs.
	ReasonCIDRNotAccepted = "CIDRNotAccepted"
	// ReasonIndexInUse: two Members have one index.
	ReasonIndexInUse = "IndexInUse"
	// ReasonNotSupported: the value is valid, but this build cannot do it yet.
	ReasonNotSupported = "NotSupported"
	// ReasonInvalidTunnelAddress: a gateway published a tunnel address outside its Member's block.
	ReasonInvalidTunnelAddress = "InvalidTunnelAddress"

	// ReasonTargetNotFound: the ServiceImport that a TrafficPolicy is for does not exist yet
	// (GEP-713).
	ReasonTargetNotFound = "TargetNotFound"
	// ReasonTargetHeadless: the ServiceImport has no clusterset IP, so that a TrafficPolicy has
	// nothing to act on.
	ReasonTargetHeadless = "TargetHeadless"
	// ReasonConflicted: another TrafficPolicy for the same ServiceImport is in effect (GEP-713).
	ReasonConflicted = "Conflicted"
	// ReasonInvalid: the policy would leave no cluster to answer (GEP-713).
	ReasonInvalid = "Invalid"

	ReasonInstalled = "Installed"
	// ReasonCRDsOutdated: a CRD is missing, or lacks a field of this version.
	ReasonCRDsOutdated = "CRDsOutdated"
	// ReasonRolesOutdated: the operator may not read what this version reads.
	ReasonRolesOutdated = "RolesOutdated"
	// ReasonPoliciesMissing: an admission policy is missing, or does not refuse.
	ReasonPoliciesMissing = "PoliciesMissing"

	ReasonApproved = "Approved"
	// ReasonAddressesOutside: pods have addresses outside Member.spec.cidrs, and other clusters drop
	// what comes from them.
	ReasonAddressesOutside = "AddressesOutside"

	ReasonConnected = "Connected"
	// ReasonPending: nothing is known yet.
	ReasonPending = "Pending"
	// ReasonSecretNotFound: the Secret with the hub's access is missing or lacks a key.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonUnreachable: the hub, or the remote cluster, does not answer.
	ReasonUnreachable = "Unreachable"
	// ReasonUnauthorized: the hub refuses the token, or the token may not do what a member does.
	ReasonUnauthorized = "Unauthorized"
	// ReasonCRDsMissing: the hub does not serve tombolo's kinds.
	ReasonCRDsMissing = "CRDsMissing"
	// ReasonNotAuthoritative: the hub's namespace does not carry this clusterset's ID.
	ReasonNotAuthoritative = "NotAuthoritative"
	// ReasonNotAMember: the hub has no Member for this cluster.
	ReasonNotAMember = "NotAMember"
	// ReasonRemoved: the admin has removed this cluster from the clusterset.
	ReasonRemoved = "Removed"
	// ReasonClusterIDInUse: another cluster uses this cluster ID.
	ReasonClusterIDInUse = "ClusterIDInUse"
	// ReasonTokenNotRenewed: the operator is in step with the hub, but cannot renew its token.
	ReasonTokenNotRenewed = "TokenNotRenewed"

	// ReasonSkipped: a part of what the cluster publishes is malformed or not approved.
	ReasonSkipped = "Skipped"

	// ReasonConfigured: the configuration is complete.
	ReasonConfigured = "Configured"
	// ReasonManual: the cluster's admin configures CoreDNS; the message says how.
	ReasonManual = "Manual"
	// ReasonNotAnswering: the configuration is complete, and the cluster's DNS does not answer for
	// clusterset.local.
	ReasonNotAnswering = "NotAnswering"
	// ReasonCoreDNSNotFound: there is no CoreDNS where the operator expects it.
	ReasonCoreDNSNotFound = "CoreDNSNotFound"
	// ReasonCoreDNSTooOld: this CoreDNS cannot serve clusterset.local.
	ReasonCoreDNSTooOld = "CoreDNSTooOld"
	// ReasonCorefileNotUnderstood: the Corefile cannot be changed safely.
	ReasonCorefileNotUnderstood = "CorefileNotUnderstood"
	// ReasonNotOurs: another controller owns an object that tombolo would write, so tombolo leaves
	// it alone.
	ReasonNotOurs = "NotOurs"

	ReasonLinkUp = "LinkUp"
	// ReasonNoLink: no link is up.
	ReasonNoLink = "NoLink"
	// ReasonNoGateways: the cluster has no gateway.
	ReasonNoGateways = "NoGateways"

	// ReasonIngressDropped: the filter on the way in drops packets of another cluster (an event).
	ReasonIngressDropped = "IngressDropped"
	// ReasonHeartbeat: the gateway's agent renews its Lease.
	ReasonHeartbeat = "Heartbeat"
	// ReasonNoHeartbeat: the gateway's agent does not renew its Lease.
	ReasonNoHeartbeat = "NoHeartbeat"
	// ReasonNoLease: the gateway's agent has made no Lease, because its version is older or it has
	// just started. The gateway counts as alive.
	ReasonNoLease = "NoLease"
	// ReasonNodeNotReady: the node of a gateway that renews no Lease, because its version is older,
	// is not ready.
	ReasonNodeNotReady = "NodeNotReady"
	// ReasonNoLiveGateway: this cluster has no gateway that lives.
	ReasonNoLiveGateway = "NoLiveGateway"

	// ReasonNotDraining: flows may use the gateway.
	ReasonNotDraining = "NotDraining"
	// ReasonUnschedulable: the gateway's node is cordoned.
	ReasonUnschedulable = "NodeUnschedulable"
	// ReasonDrainRequested: the Node has the annotation gateway-drain.
	ReasonDrainRequested = "DrainRequested"
	// ReasonNodeRemoval: an autoscaler is about to remove the node.
	ReasonNodeRemoval = "NodeRemoval"
	// ReasonNodeShutdown: the node shuts down.
	ReasonNodeShutdown = "NodeShutdown"
	// ReasonLabelRemoved: the node is no gateway any more.
	ReasonLabelRemoved = "LabelRemoved"
	// ReasonAgentStopping: the gateway's agent ends, for example to be upgraded.
	ReasonAgentStopping = "AgentStopping"
	// ReasonAgentStarting: the gateway's agent has just started, and its links are not up yet.
	ReasonAgentStarting = "AgentStarting"

	ReasonReady = "Ready"
	// ReasonKernelModuleMissing: the kernel lacks wireguard or ip_vs; the message names which and
	// how to load it.
	ReasonKernelModuleMissing = "KernelModuleMissing"
	// ReasonNotPermitted: the agent lacks CAP_NET_ADMIN.
	ReasonNotPermitted = "NotPermitted"
	// ReasonFirewallDrops: a firewall of the node drops packets that must pass it.
	ReasonFirewallDrops = "FirewallDrops"
	// ReasonPortInUse: something else has the gateway's UDP port.
	ReasonPortInUse = "PortInUse"
	// ReasonInvalidEndpoint: the node has no address that other clusters may send to, or its
	// annotation names one that is wrong.
	ReasonInvalidEndpoint = "InvalidEndpoint"
	// ReasonKernelError: the kernel refused something else.
	ReasonKernelError = "KernelError"
)
