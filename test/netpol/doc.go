// Package netpol tests NetworkPolicies across clusters, with kube-network-policies as the engine that
// enforces them on every node. Pods of other clusters come with their own addresses, so an ipBlock says
// who may come and where one may go.
//
// It needs a lab with tombolo: `bin/lab run --install -- go test -tags e2e ./test/netpol`. On
// clusters of kind whose pods Calico connects, Calico is the engine: `go run ./hack/kind test`.
package netpol
