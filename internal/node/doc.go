// Package node owns what every node agent is made of: the Loop that runs its passes, the Retry that
// spaces out attempts at what fails, and the Cluster, which is the client of the API server with
// its caches. What a pass does, and which kinds an agent watches, belongs to the agents. The
// package knows nothing of the kernel.
package node
