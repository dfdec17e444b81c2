// Package agent is the gateway on one node. It reads this cluster's objects and the kernel, plans,
// makes the kernel match the plan, probes the links, and reports what it found. It owns the
// GatewayNode of its node, its entry in each RemoteCluster's status.links, and the file
// with its private key on the node. The devices, routes and rules on the node belong to the packages
// wireguard and route, and what a gateway wants belongs to the package plan.
//
// The agent has two main loops, so that it answers a link's failure even while the API server is away.
// The tunnels loop reads caches and writes the kernel; the status loop writes to the API server.
// Events only mark the loops, and a pass reads everything it needs.
package agent

// What the gateway may do in its cluster. For the filter on the way in it watches all Nodes,
// ServiceExports and EndpointSlices. It watches all GatewayNodes, since it hands packets over to
// other gateways. The policy in config/rbac limits its writes to its own objects. The Secret is that
// of older versions: a gateway takes its own key out of it.
//
// +kubebuilder:rbac:groups="",resources=nodes;services,verbs=get;list;watch
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceexports,verbs=get;list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets;exportpolicies;remoteclusters,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=remoteclusters/status,verbs=patch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=gatewaynodes,verbs=get;list;watch;create;patch,namespace=tombolo-system
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=gatewaynodes/status,verbs=patch,namespace=tombolo-system
// +kubebuilder:rbac:groups="",resources=secrets,resourceNames=tombolo-gateway-keys,verbs=get;patch,namespace=tombolo-system
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=create;patch,namespace=tombolo-system
