// Package backend owns what serves clusterset IPs on a node: IPVS or nftables. It chooses one of
// them by what the ClusterSet asks for and what this node's kube-proxy does, keeps the kernel's
// virtual services as a plan.Table has them, repairs what others change, and lets the other backend
// leave. It says of a service which endpoints a backend cannot serve.
//
// It does not plan services, decide when to try again what failed, or report: that is the agent's.
package backend
