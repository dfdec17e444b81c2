// Package agent is the dataplane on one node: it watches this cluster's API server and keeps the node's kernel as
// dataplane/plan says, through dataplane/ipvs, route and filter.
//
// It owns the order of these steps, the repair of what others change, the node's condition, metrics and health. One loop
// does all of the work; events only mark what is to be looked at again. Nothing is undone when it ends: traffic goes on.
package agent

// What the agent may do. Its own Node's status and events about it are all that it writes; an admission policy in
// config/rbac keeps it to its own.
//
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets;remoteclusters;trafficpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=gatewaynodes,namespace=tombolo-system,verbs=get;list;watch
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceimports,verbs=get;list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=nodes/status,verbs=patch
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,namespace=default,verbs=create;patch
