// Package loadpod makes pods with the program load, and the Service that exports them. The program
// needs no image: nodes of a lab see the host's files, and nodes of kind get it as a file.
package loadpod

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// Ports of a pod that serves: HTTP, and lines and packets that are echoed.
const (
	HTTPPort = 8080
	EchoPort = 7007
)

// Pod is a pod with the program load. It serves, or sleeps.
type Pod struct {
	Namespace, Name string
	App             string // the label app; empty is Name
	Node            string // the node's name
	Sleeps          bool
	// Files of the host that the pod has, by path in it.
	Files map[string]string
}

// KindProgram is the path of load on nodes of kind.
const KindProgram = "/usr/local/bin/load"

// Program is the path of load on nodes. On a lab's nodes it is where make builds it, beside the
// lab's command.
func Program() string {
	if os.Getenv(shell.NodePodsEnv) != "" {
		return KindProgram
	}
	return filepath.Join(filepath.Dir(os.Getenv("LAB_BIN")), "load")
}

// Manifest is the pod as YAML, with a separator after it.
func (p Pod) Manifest() string {
	command, app := `["/load", "serve", "$(POD_IP)"]`, p.App
	if p.Sleeps {
		command = `["sleep", "infinity"]`
	}
	if app == "" {
		app = p.Name
	}
	files := map[string]string{"/load": Program()}
	for in, of := range p.Files {
		files[in] = of
	}
	var mounts, volumes []string
	for in, of := range files {
		name := strings.TrimPrefix(in, "/")
		mounts = append(mounts, fmt.Sprintf("{name: %s, mountPath: %s}", name, in))
		volumes = append(volumes, fmt.Sprintf("{name: %s, hostPath: {path: %s, type: File}}", name, of))
	}
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s, labels: {app: %s}}
spec:
  nodeName: %s
  terminationGracePeriodSeconds: 1
  tolerations: [{operator: Exists}]
  containers:
  - name: load
    image: nicolaka/netshoot:v0.15
    imagePullPolicy: IfNotPresent
    command: %s
    securityContext: {capabilities: {add: [NET_ADMIN]}} # for a large receive buffer
    env: [{name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
    volumeMounts: [%s]
  volumes: [%s]
---
`, p.Name, p.Namespace, app, p.Node, command, strings.Join(mounts, ", "), strings.Join(volumes, ", "))
}

// Namespace is a namespace as YAML, with a separator after it.
func Namespace(name string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n---\n", name)
}

// Service is a Service with the pods that have the label app, at port 80 (HTTP) and 7 (TCP and UDP), and its
// export, as YAML with a separator after it.
func Service(namespace, name, app string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  selector: {app: %[3]s}
  ports:
  - {name: http, port: 80, targetPort: %[4]d}
  - {name: lines, port: 7, targetPort: %[5]d}
  - {name: packets, port: 7, targetPort: %[5]d, protocol: UDP}
---
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: %[2]s, namespace: %[1]s}
---
`, namespace, name, app, HTTPPort, EchoPort)
}

// Ready returns when all pods of a namespace are ready.
func Ready(ctx context.Context, sh shell.Shell, cluster, namespace string, within time.Duration) error {
	_, err := sh.Kubectl(ctx, cluster, "--namespace", namespace, "wait", "--for=condition=Ready", "pod", "--all", "--timeout="+within.String())
	return err
}

// Ask asks an IP address or a name by HTTP from a pod, for some seconds. Both may have a port. The error
// says why it got no answer.
func Ask(ctx context.Context, sh shell.Shell, cluster, namespace, pod, address string, seconds int) error {
	if ip, err := netip.ParseAddr(address); err == nil && ip.Is6() {
		address = "[" + address + "]"
	}
	_, err := sh.InPod(ctx, cluster, namespace, pod, "curl", "--silent", "--show-error", "--fail", "--http0.9", "--max-time", fmt.Sprint(seconds), "http://"+address+"/")
	return err
}

// ClusterSetIP returns the clusterset IP of a Service once a pod of the cluster reaches it.
func ClusterSetIP(ctx context.Context, sh shell.Shell, cluster, namespace, service, pod string, within time.Duration) (string, error) {
	return shell.Eventually(ctx, within, func(ctx context.Context) (string, error) {
		ip, err := sh.Kubectl(ctx, cluster, "--namespace", namespace, "get", "serviceimports.multicluster.x-k8s.io", service, "--output", "jsonpath={.spec.ips[0]}")
		if err != nil || ip == "" {
			return "", fmt.Errorf("no clusterset IP: %w", err)
		}
		return ip, Ask(ctx, sh, cluster, namespace, pod, ip, 5)
	})
}
