package demo

import (
	"fmt"

	"github.com/tombolo-net/tombolo/test/harness/echopod"
)

const (
	namespace = "demo"
	clientPod = "client"
	webName   = "web.demo.svc.clusterset.local"
	dbName    = "db.demo.svc.clusterset.local"
)

const namespaceManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: demo}
`

// serverManifest is a web server with 3 replicas and a database of 2, with an ordinary and a
// headless Service.
func serverManifest() string {
	return echopod.Deployment(namespace, "web", 3) + echopod.Service(namespace, "web") + echopod.StatefulSet(namespace, "db", 2) + echopod.Headless(namespace, "db")
}

// clientManifest is a pod with network tools on the named node.
func clientManifest(node string) string {
	return fmt.Sprintf(`
---
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec:
  nodeSelector: {kubernetes.io/hostname: %s}
  terminationGracePeriodSeconds: 1
  containers:
  - name: tools
    image: nicolaka/netshoot:v0.15
    imagePullPolicy: IfNotPresent
    command: [sleep, infinity]
`, clientPod, namespace, node)
}

func exportManifest(service string) string {
	return fmt.Sprintf(`
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: %s, namespace: %s}
`, service, namespace)
}
