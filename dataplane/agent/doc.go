// Package agent is the dataplane on one node: it watches this cluster's API server, and keeps the
// node's kernel as dataplane/plan says.
//
// It owns the parts of the kernel in their order (services, filter, routes, sysctls), with what
// each one wants, what failed, and when to try that again. It owns the node's condition, the events
// about it, the metrics, and the answers to why flows go where they go. dataplane/backend owns what
// serves clusterset IPs, and internal/node the loop that runs the passes. Events only mark what a
// pass looks at again. Nothing is undone when the agent ends: traffic goes on.
package agent

// What the agent may do. It writes its own Node's status and events about its own Node, and nothing
// else. Admission policies in config/rbac keep it to its own Node.
//
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets;remoteclusters;trafficpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=gatewaynodes,namespace=tombolo-system,verbs=get;list;watch
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceimports,verbs=get;list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=nodes/status,verbs=patch
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch
