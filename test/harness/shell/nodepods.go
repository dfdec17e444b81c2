package shell

import (
	"fmt"
	"strings"
)

// NodePodsEnv names the namespace of pods that run commands on nodes, in clusters that are not a
// lab's. On each node is one of them, in the node's network and under the node's name.
const NodePodsEnv = "NODE_PODS"

// nodePod has no more rights than reading rules and capturing packets takes. It sees what the node keeps.
const nodePod = `---
apiVersion: v1
kind: Pod
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  nodeName: %[2]s
  hostNetwork: true
  terminationGracePeriodSeconds: 1
  tolerations: [{operator: Exists}]
  containers:
  - name: tools
    image: nicolaka/netshoot:v0.15
    imagePullPolicy: IfNotPresent
    command: [sleep, infinity]
    securityContext: {capabilities: {add: [NET_ADMIN, NET_RAW]}}
    volumeMounts: [{name: state, mountPath: /var/lib, readOnly: true}]
  volumes: [{name: state, hostPath: {path: /var/lib}}]
`

// NodePods is the manifest of the pods for nodes of one cluster.
func NodePods(namespace string, nodes []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", namespace)
	for _, node := range nodes {
		fmt.Fprintf(&b, nodePod, namespace, node)
	}
	return b.String()
}

// clusterOf is the context of a node's cluster, with which the node's name begins: east-worker is of
// east.
func clusterOf(node string) string {
	cluster, _, _ := strings.Cut(node, "-")
	return cluster
}
