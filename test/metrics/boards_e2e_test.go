//go:build e2e

package metrics

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

const (
	server = `
apiVersion: v1
kind: Namespace
metadata: {name: metrics}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: metrics}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: web, namespace: metrics}
`
	pod = `
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: metrics, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: web
    image: tombolo-net/echo:lab
    imagePullPolicy: IfNotPresent
    args: ["--http=:8080"]
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
`
)

// seldom are metrics that have no series while all is well.
var seldom = regexp.MustCompile(`ingress_dropped|skipped_objects|repairs_total|sync_errors|link_changes|reaction|kernel_changes|reconcile_errors`)

// Prometheus itself scrapes all of tombolo in both clusters. Every query of the boards shows
// something, and what is scraped is in docs/metrics.md.
func TestBoards(t *testing.T) {
	sh, err := shell.New()
	if err != nil {
		t.Fatal(err)
	}
	export(t, sh)
	ask := prometheus(t, scrapes(t, sh))
	all, err := queries()
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for _, q := range all {
		expr := strings.ReplaceAll(q.expr, "$__rate_interval", "1m")
		for {
			series, err := ask(expr)
			if err == nil && (len(series) > 0 || seldom.MatchString(expr)) {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("%s, %s: %s shows nothing (%v)", q.board, q.panel, expr, err)
				break
			}
			time.Sleep(time.Second)
		}
	}
	series, err := ask(`count by (__name__) ({__name__=~"tombolo_.+"})`)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range series {
		names = append(names, s["__name__"])
	}
	if unknown, err := undocumented(names); err != nil || len(unknown) > 0 || len(names) < 20 {
		t.Errorf("of %d metrics docs/metrics.md has no %v (%v)", len(names), unknown, err)
	}
}

// export exports a Service, and then changes its endpoints, so that a change has been measured.
func export(t *testing.T, sh shell.Shell) {
	t.Helper()
	t.Cleanup(func() {
		for _, cluster := range []string{"east", "west"} {
			if _, err := sh.Kubectl(context.WithoutCancel(t.Context()), cluster, "delete", "namespace", "metrics", "--wait=false"); err != nil {
				t.Error(err)
			}
		}
	})
	apply := func(cluster, manifest string) {
		t.Helper()
		if err := sh.Apply(t.Context(), cluster, manifest); err != nil {
			t.Fatal(err)
		}
	}
	imported := func(want int) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
			out, err := sh.Kubectl(t.Context(), "west", "-n", "metrics", "get", "endpointslices", "--selector=multicluster.kubernetes.io/source-cluster=east",
				"-o", "jsonpath={.items[*].endpoints[*].conditions.ready}")
			if err == nil && strings.Count(out, "true") == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("west has not imported %d ready endpoints: %q, %v", want, out, err)
			}
		}
	}
	apply("west", "{apiVersion: v1, kind: Namespace, metadata: {name: metrics}}")
	apply("east", server)
	apply("east", fmt.Sprintf(pod, "first"))
	imported(1)
	apply("east", fmt.Sprintf(pod, "second"))
	imported(2)
}

// scrapes is Prometheus's configuration for all pods of tombolo: agents, which are in the network of
// their nodes, through proxies of the API servers; operators, whose network an API server of the lab
// has no way to, through a node.
func scrapes(t *testing.T, sh shell.Shell) string {
	t.Helper()
	config := "global: {scrape_interval: 2s, scrape_timeout: 2s}\nscrape_configs:\n"
	scrape := func(cluster, pod, target, path string) {
		config += fmt.Sprintf("- job_name: %s/%s\n  metrics_path: %s\n  static_configs:\n  - targets: [%q]\n    labels: {pod: %s, kube: %s}\n",
			cluster, pod, path, target, pod, cluster)
	}
	for _, cluster := range []string{"east", "west"} {
		api := proxy(t, cluster)
		out, err := sh.Kubectl(t.Context(), cluster, "-n", "tombolo-system", "get", "pods", "-o",
			`jsonpath={range .items[*]}{.metadata.name} {.metadata.labels.app\.kubernetes\.io/name} {.status.podIP} {.spec.nodeName}{"\n"}{end}`)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
			fields := strings.Fields(line)
			name, path := fields[0], "/api/v1/namespaces/tombolo-system/pods/%s:%s/proxy/metrics"
			switch fields[1] {
			case "tombolo-operator":
				scrape(cluster, name, relay(t, sh, fields[3], net.JoinHostPort(fields[2], "7473")), "/metrics")
			case "tombolo-gateway":
				scrape(cluster, name, api, fmt.Sprintf(path, name, "7474"))
			case "tombolo-dataplane":
				scrape(cluster, name, api, fmt.Sprintf(path, name, "7475"))
			}
		}
	}
	return config
}

// relay serves on loopback what the node gets from that address, until the test ends. It returns
// where.
func relay(t *testing.T, sh shell.Shell, node, address string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, err := sh.OnNode(r.Context(), node, "curl", "--silent", "--show-error", "--fail", "--max-time", "2", "http://"+address+r.URL.Path)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		io.WriteString(w, page) // who asked may have gone
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// proxy serves the cluster's API on a port of loopback until the test ends, and returns its address.
func proxy(t *testing.T, cluster string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "kubectl", "--context", cluster, "proxy", "--port=0")
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, command)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "Starting to serve on "))
}

// start starts the command, and ends it when the test ends.
func start(t *testing.T, command *exec.Cmd) {
	t.Helper()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill() // it may have ended with the test's context
		command.Wait()         // it was killed
	})
}

// prometheus runs Prometheus with that configuration until the test ends. It returns how to ask it:
// the labels of each series of the answer.
func prometheus(t *testing.T, config string) func(expr string) ([]map[string]string, error) {
	t.Helper()
	folder := t.TempDir()
	file := filepath.Join(folder, "prometheus.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := exec.CommandContext(t.Context(), filepath.Join(root, "hack/tool.sh"), "prometheus").Output()
	if err != nil {
		t.Fatalf("hack/tool.sh prometheus: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close() // its port is all that was wanted
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), strings.TrimSpace(string(program)), "--config.file="+file,
		"--storage.tsdb.path="+filepath.Join(folder, "data"), "--web.listen-address="+address)
	command.Stdout, command.Stderr = log, log
	start(t, command)
	t.Cleanup(func() {
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("Prometheus said:\n%s", text)
		}
	})
	return func(expr string) ([]map[string]string, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/api/v1/query?query="+url.QueryEscape(expr), http.NoBody)
		if err != nil {
			return nil, err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		var answer struct {
			Error string
			Data  struct {
				Result []struct{ Metric map[string]string }
			}
		}
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
			return nil, err
		}
		var series []map[string]string
		for _, r := range answer.Data.Result {
			series = append(series, r.Metric)
		}
		if answer.Error != "" {
			return nil, fmt.Errorf("%s: %s", expr, answer.Error)
		}
		return series, nil
	}
}
