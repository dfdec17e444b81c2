// Package paths holds the tests of the ways that packets take between clusters. They walk the
// routes and rules that gateway/plan and dataplane/plan make for every node of several clusters,
// as the kernel would, in every way that the nodes' views may differ. The package owns nothing that
// ships.
package paths
