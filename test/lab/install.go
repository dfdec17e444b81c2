package lab

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/tombolo-net/tombolo/test/lab/image"
)

// What docs/install.md installs, and where.
const (
	hubNamespace    = "tombolo-hub"
	memberNamespace = "tombolo-system"
	clusterSetID    = "demo"
	hubSecret       = "tombolo-hub"
	group           = "clusterset.tombolo.dev"
)

// installTimeout is how long tombolo's links may take to be up on a busy machine.
const installTimeout = 4 * time.Minute

// install installs tombolo in every cluster with the manifests of the folder config and the steps
// of docs/install.md, and returns when every cluster reaches every other and its CoreDNS serves
// clusterset.local.
func (l *Lab) install(ctx context.Context, config string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	w := &waiting{}
	done := l.progress.step("installing tombolo", 30*time.Second, w.String)
	defer func() { done(err) }()
	if _, err := l.archive(ctx, image.TomboloRef); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.installHub(gctx, config) })
	for _, c := range l.topology.Clusters {
		g.Go(func() error { return l.installMember(gctx, config, c) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("installing tombolo: %w", err)
	}
	return l.join(ctx, w)
}

// join makes every cluster a member and waits until they reach each other.
func (l *Lab) join(ctx context.Context, w *waiting) error {
	g, ctx := errgroup.WithContext(ctx)
	for i, c := range l.topology.Clusters {
		g.Go(func() error {
			if err := l.joinMember(ctx, i+1, c); err != nil {
				return fmt.Errorf("joining cluster %s: %w", c.Name, err)
			}
			g.Go(func() error {
				defer w.add("links of " + c.Name)()
				if err := l.waitLinks(ctx, c); err != nil {
					return fmt.Errorf("waiting for links of cluster %s: %w", c.Name, err)
				}
				return nil
			})
			defer w.add("DNS of " + c.Name)()
			if err := l.waitZone(ctx, c); err != nil {
				return fmt.Errorf("waiting for DNS of cluster %s: %w", c.Name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// waitZone returns when a CoreDNS runs that has read the Corefile as tombolo has changed it. Left
// alone it would have within two minutes.
func (l *Lab) waitZone(ctx context.Context, c Cluster) error {
	for _, args := range [][]string{
		{"wait", "--for=condition=DNSReady", "--timeout=240s", "clusterset/default"},
		{"--namespace", "kube-system", "rollout", "restart", "deployment/coredns"},
		{"--namespace", "kube-system", "rollout", "status", "--timeout=120s", "deployment/coredns"},
	} {
		if err := l.kubectl(ctx, c.Name, "", args...); err != nil {
			return err
		}
	}
	return nil
}

// installHub makes the hub.
func (l *Lab) installHub(ctx context.Context, config string) error {
	return l.kubectl(ctx, Hub, "", "apply", "-k", filepath.Join(config, "hub"))
}

// installMember makes what every member runs. Where nobody serves Services' addresses it tells
// where the API server is.
func (l *Lab) installMember(ctx context.Context, config string, c Cluster) error {
	if err := l.kubectl(ctx, c.Name, "", "apply", "-k", filepath.Join(config, "default")); err != nil {
		return err
	}
	if c.servesClusterIPs() {
		return nil
	}
	server := l.apiServer(c.Name)
	return l.kubectl(ctx, c.Name, "", "--namespace", memberNamespace, "set", "env", "deployments,daemonsets", "--all",
		"KUBERNETES_SERVICE_HOST="+server.Addr().String(), "KUBERNETES_SERVICE_PORT="+strconv.Itoa(int(server.Port())))
}

// memberOnHub is what the hub's admin makes for a member.
var memberOnHub = template.Must(template.New("member").Parse(`apiVersion: v1
kind: ServiceAccount
metadata:
  name: member-{{ .Name }}
  namespace: {{ .Namespace }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: member-{{ .Name }}
  namespace: {{ .Namespace }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: tombolo-member
subjects:
- kind: ServiceAccount
  name: member-{{ .Name }}
  namespace: {{ .Namespace }}
---
apiVersion: v1
kind: Secret
type: kubernetes.io/service-account-token
metadata:
  name: member-{{ .Name }}
  namespace: {{ .Namespace }}
  annotations:
    kubernetes.io/service-account.name: member-{{ .Name }}
---
apiVersion: clusterset.tombolo.dev/v1alpha1
kind: Member
metadata:
  name: {{ .Name }}
  namespace: {{ .Namespace }}
spec:
  index: {{ .Index }}
  region: {{ .Name }}
  cidrs:
{{- range .CIDRs }}
  - {{ . }}
{{- end }}
`))

// clusterSet is what the member's admin makes.
var clusterSet = template.Must(template.New("clusterset").Parse(`apiVersion: v1
kind: Secret
metadata:
  name: {{ .Secret }}
  namespace: {{ .Namespace }}
data:
{{- range $key, $value := .Access }}
  {{ $key }}: {{ $value }}
{{- end }}
---
apiVersion: clusterset.tombolo.dev/v1alpha1
kind: ClusterSet
metadata:
  name: default
spec:
  clusterSetID: {{ .ClusterSetID }}
  clusterID: {{ .Name }}
  hub:
    server: {{ .Server }}
    secretRef:
      name: {{ .Secret }}
  dns: Managed
`))

// joinMember makes the cluster the member number index.
func (l *Lab) joinMember(ctx context.Context, index int, c Cluster) error {
	if err := l.establish(ctx, Hub, "members"); err != nil {
		return err
	}
	err := l.apply(ctx, Hub, memberOnHub, map[string]any{"Name": c.Name, "Namespace": hubNamespace, "Index": index, "CIDRs": c.PodCIDRs})
	if err != nil {
		return err
	}
	access, err := l.hubAccess(ctx, "member-"+c.Name)
	if err != nil {
		return err
	}
	if err := l.establish(ctx, c.Name, "clustersets"); err != nil {
		return err
	}
	return l.apply(ctx, c.Name, clusterSet, map[string]any{
		"Name": c.Name, "Namespace": memberNamespace, "Secret": hubSecret, "Access": access,
		"ClusterSetID": clusterSetID, "Server": l.controlPlane.Cluster(Hub).NodeURL(),
	})
}

// establish waits until the API server serves a kind of tombolo's, given as it is in URLs.
func (l *Lab) establish(ctx context.Context, cluster, resource string) error {
	return l.kubectl(ctx, cluster, "", "wait", "--for=condition=Established", "--timeout=60s", "crd/"+resource+"."+group)
}

// hubAccess returns the content of the Secret by which a member's account reaches the hub, once it
// is complete.
func (l *Lab) hubAccess(ctx context.Context, name string) (map[string]string, error) {
	client, err := kubernetes.NewForConfig(l.controlPlane.Cluster(Hub).RESTConfig())
	if err != nil {
		return nil, fmt.Errorf("preparing client of the hub: %w", err)
	}
	access := map[string]string{}
	err = poll(ctx, func() error {
		secret, err := client.CoreV1().Secrets(hubNamespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(secret.Data["token"]) == 0 {
			return errors.New("it has no token")
		}
		for key, value := range secret.Data {
			access[key] = base64.StdEncoding.EncodeToString(value)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for the Secret %s on the hub: %w", name, err)
	}
	return access, nil
}

// waitLinks returns when the cluster is connected to the hub and reaches all others.
func (l *Lab) waitLinks(ctx context.Context, c Cluster) error {
	client, err := dynamic.NewForConfig(l.controlPlane.Cluster(c.Name).RESTConfig())
	if err != nil {
		return fmt.Errorf("preparing client: %w", err)
	}
	resource := func(name string) dynamic.ResourceInterface {
		return client.Resource(schema.GroupVersionResource{Group: group, Version: "v1alpha1", Resource: name})
	}
	return poll(ctx, func() error {
		set, err := resource("clustersets").Get(ctx, "default", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if err := isTrue(set, "HubConnected"); err != nil {
			return err
		}
		others, err := resource("remoteclusters").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if want := len(l.topology.Clusters) - 1; len(others.Items) != want {
			return fmt.Errorf("it knows %d other clusters, not %d", len(others.Items), want)
		}
		for _, other := range others.Items {
			if err := isTrue(&other, "Reachable"); err != nil {
				return err
			}
		}
		return l.agentsReady(ctx, c)
	})
}

// agentsReady returns nil once every node of the cluster has a dataplane and all of tombolo's pods
// are ready.
func (l *Lab) agentsReady(ctx context.Context, c Cluster) error {
	client, err := kubernetes.NewForConfig(l.controlPlane.Cluster(c.Name).RESTConfig())
	if err != nil {
		return fmt.Errorf("preparing client: %w", err)
	}
	pods, err := client.CoreV1().Pods(memberNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	if len(pods.Items) < len(c.Nodes)+2 {
		return fmt.Errorf("tombolo has %d pods: an operator, a gateway and %d dataplanes are expected", len(pods.Items), len(c.Nodes))
	}
	for _, pod := range pods.Items {
		if !podReady(&pod) {
			return fmt.Errorf("pod %s is not ready; its log may say why", pod.Name)
		}
	}
	return nil
}

func podReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// isTrue returns what an object's condition says unless it is True.
func isTrue(object *unstructured.Unstructured, condition string) error {
	conditions, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
	if err != nil {
		return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
	}
	for _, c := range conditions {
		c, ok := c.(map[string]any)
		if !ok || c["type"] != condition {
			continue
		}
		if c["status"] == "True" {
			return nil
		}
		return fmt.Errorf("%s %s: %s is %v: %v: %v", object.GetKind(), object.GetName(), condition, c["status"], c["reason"], c["message"])
	}
	return fmt.Errorf("%s %s has no condition %s", object.GetKind(), object.GetName(), condition)
}

// apply makes a cluster hold the objects of a manifest.
func (l *Lab) apply(ctx context.Context, cluster string, manifest *template.Template, values map[string]any) error {
	var text strings.Builder
	if err := manifest.Execute(&text, values); err != nil {
		return fmt.Errorf("filling in manifest: %w", err)
	}
	return l.kubectl(ctx, cluster, text.String(), "apply", "-f", "-")
}

// kubectl runs kubectl in a cluster. The error holds what kubectl said.
func (l *Lab) kubectl(ctx context.Context, cluster, stdin string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(l.options.Bin, "kubectl"), append([]string{"--context", cluster}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+l.Kubeconfig())
	cmd.Stdin = strings.NewReader(stdin)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl --context %s %s: %w: %s", cluster, strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return nil
}
