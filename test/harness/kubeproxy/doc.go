// Package kubeproxy runs a real kube-proxy in a network namespace, for tests and measurements of
// what has to live beside it. Its API server is a list of objects in this process, since a real one
// takes longer to start than everything else; kube-proxy itself cannot tell the difference. The
// package owns the process and that server; what kube-proxy leaves in the kernel stays there when
// it ends, as on a real node.
package kubeproxy
