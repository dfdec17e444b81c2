package demo

import "fmt"

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
const serverManifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: demo}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: tombolo-net/echo:lab
        imagePullPolicy: IfNotPresent
        args: ["--http=:8080"]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {tcpSocket: {port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec:
  ipFamilyPolicy: PreferDualStack
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: demo}
spec:
  serviceName: db
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: db
        image: tombolo-net/echo:lab
        imagePullPolicy: IfNotPresent
        args: ["--http=:8080"]
        ports: [{name: http, containerPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: demo}
spec:
  clusterIP: None
  ipFamilyPolicy: PreferDualStack
  selector: {app: db}
  ports: [{name: http, port: 8080}]
`

// clientManifest is a pod with network tools on the named node.
func clientManifest(node string) string {
	return fmt.Sprintf(`
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
