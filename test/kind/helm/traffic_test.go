//go:build kind

package helm

import (
	"context"
	"strings"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// server is a Service of east that west imports.
const server = `
apiVersion: v1
kind: Namespace
metadata: {name: helm}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: helm}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: web, image: "tombolo-net/echo:lab", imagePullPolicy: IfNotPresent, args: ["--http=:8080"]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: helm}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: web, namespace: helm}
`

// client is a pod that asks, on the node that is not a gateway.
const client = `
apiVersion: v1
kind: Namespace
metadata: {name: helm}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: helm}
spec:
  nodeName: west-worker
  terminationGracePeriodSeconds: 1
  containers:
  - {name: tools, image: "nicolaka/netshoot:v0.15", imagePullPolicy: IfNotPresent, command: [sleep, infinity]}
`

// podsWithin is how long it may take until pods run and their endpoints are known.
const podsWithin = 2 * time.Minute

// request waits as long as TCP may need on a slow machine. Tunnels in user space stand still while
// their gateway's pod is replaced.
const request = "curl --silent --show-error --fail --max-time 20 --output /dev/null http://web.helm.svc.clusterset.local/"

// deploy makes both, and waits until the one gets answers from the other.
func (h *host) deploy() {
	h.t.Helper()
	for context, manifest := range map[string]string{"east": server, cluster: client} {
		if err := h.Apply(h.t.Context(), context, manifest); err != nil {
			h.t.Fatal(err)
		}
	}
	h.kubectl("--namespace", "helm", "wait", "--for=condition=Ready", "--timeout=60s", "pod/client")
	_, err := shell.Eventually(h.t.Context(), podsWithin, func(ctx context.Context) (string, error) {
		return h.InPod(ctx, cluster, "helm", "client", strings.Fields(request)...)
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// ask begins to send one request after the other. The function that it returns ends that, and wants
// all to have got an answer.
func (h *host) ask() (end func()) {
	const loop = "while [ ! -e /tmp/end ]; do " + request + " && echo answered || echo lost; sleep 0.1; done 2>&1"
	type result struct {
		out string
		err error
	}
	done := make(chan result, 1)
	go func() {
		out, err := h.InPod(h.t.Context(), cluster, "helm", "client", "sh", "-c", loop)
		done <- result{out, err}
	}()
	return func() {
		h.t.Helper()
		h.kubectl("--namespace", "helm", "exec", "client", "--", "touch", "/tmp/end")
		r := <-done
		if r.err != nil {
			h.t.Fatal(r.err)
		}
		answered, lost := strings.Count(r.out, "answered"), strings.Count(r.out, "lost")
		h.t.Logf("%d requests were answered, %d were not", answered, lost)
		if lost > 0 || answered < 20 {
			h.t.Errorf("of the requests during the roll-outs %d were answered, %d were not: %s", answered, lost, strings.ReplaceAll(r.out, "answered\n", ""))
		}
	}
}
