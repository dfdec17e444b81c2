// Package agent is the loop of the gateway on one node: it reads this cluster's objects and the kernel, plans, makes
// the kernel match, probes the links, and writes what it found. It owns the GatewayNode of its node, its entry in each
// RemoteCluster's status.links, and its key in the Secret tombolo-gateway-keys. What is on the node belongs to the
// packages wireguard and route.
//
// There are two loops, so that a link's failure is answered while the API server is not: the first reads caches and
// writes the kernel, the second writes to the API server. Events only mark a loop dirty; what to do is read anew.
package agent

// What the gateway may do in its cluster. It watches its own Node and its own GatewayNode by name, which roles cannot
// say, and the policy in config/rbac keeps its writes to its own objects.
//
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets;remoteclusters,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=remoteclusters/status,verbs=patch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=gatewaynodes,verbs=get;list;watch;create;patch,namespace=tombolo-system
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=gatewaynodes/status,verbs=patch,namespace=tombolo-system
// +kubebuilder:rbac:groups="",resources=secrets,resourceNames=tombolo-gateway-keys,verbs=get;patch,namespace=tombolo-system
