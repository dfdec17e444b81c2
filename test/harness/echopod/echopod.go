// Package echopod has the manifests of an HTTP server whose answer names its pod and the client. Its
// image is tombolo-net/echo:lab, which every cluster of a lab has.
package echopod

import "fmt"

// Port is where each pod serves; its name is http.
const Port = 8080

// Deployment is a Deployment of that name, whose pods have the label app with the name.
func Deployment(namespace, name string, replicas int) string {
	return workload("Deployment", namespace, name, fmt.Sprintf("replicas: %d", replicas))
}

// StatefulSet is a StatefulSet of that name, which a Service of the same name governs.
func StatefulSet(namespace, name string, replicas int) string {
	return workload("StatefulSet", namespace, name, fmt.Sprintf("replicas: %d\n  serviceName: %s\n  podManagementPolicy: Parallel", replicas, name))
}

func workload(kind, namespace, name, spec string) string {
	return fmt.Sprintf(`
---
apiVersion: apps/v1
kind: %[1]s
metadata: {name: %[3]s, namespace: %[2]s}
spec:
  %[4]s
  selector: {matchLabels: {app: %[3]s}}
  template:
    metadata: {labels: {app: %[3]s}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: %[3]s
        image: tombolo-net/echo:lab
        imagePullPolicy: IfNotPresent
        args: ["--http=:%[5]d"]
        ports: [{name: http, containerPort: %[5]d}]
        readinessProbe: {tcpSocket: {port: http}, periodSeconds: 1}
`, kind, namespace, name, spec, Port)
}

// Service is a Service of all IP families at port 80 for the pods with the label app of that name.
func Service(namespace, name string) string {
	return service(namespace, name, "ports: [{name: http, port: 80, targetPort: http}]")
}

// Headless is a headless Service of all IP families for the pods with the label app of that name.
func Headless(namespace, name string) string {
	return service(namespace, name, fmt.Sprintf("clusterIP: None\n  ports: [{name: http, port: %d}]", Port))
}

func service(namespace, name, spec string) string {
	return fmt.Sprintf(`
---
apiVersion: v1
kind: Service
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  ipFamilyPolicy: PreferDualStack
  selector: {app: %[2]s}
  %[3]s
`, namespace, name, spec)
}
