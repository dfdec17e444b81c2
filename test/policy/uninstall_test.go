//go:build integration

package policy

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/tombolo-net/tombolo/test/lab/controlplane"
)

// installers serves install.yaml and hub.yaml as `make build-installer` writes them, and returns the
// URL of their folder.
func installers(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for file, folder := range map[string]string{"install.yaml": "default", "hub.yaml": "hub"} {
		text, err := exec.CommandContext(t.Context(), "../../hack/manifests.sh", folder, "example.com/tombolo:v1.2.3").Output()
		if err != nil {
			t.Fatalf("making %s: %v", file, err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), ":dev") {
			t.Errorf("%s has an image with the tag dev", file)
		}
	}
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	return server.URL
}

// Each way to install leaves nothing behind when it is undone, and applied twice it changes nothing.
func TestUninstall(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	planes, err := controlplane.Start(ctx, controlplane.Config{Clusters: []controlplane.ClusterConfig{
		{Name: "east", Controllers: controlplane.HubControllers()},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := planes.Stop(); err != nil {
			t.Error(err)
		}
	})
	config := planes.Cluster("east").RESTConfig()
	waitForNamespaces(ctx, t, config)
	url := installers(t)
	overlay, err := pageOverlay("config/default")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, from, objects string }{
		{"a member", "-f " + url + "/install.yaml", clusterSetYAML},
		{"a hub", "-f " + url + "/hub.yaml", memberYAML},
		{"a member in another namespace", "-k " + writeOverlay(t, overlay), clusterSetYAML},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := everything(ctx, t, config)
			paste(ctx, t, planes.Kubeconfig(), map[string]string{"FROM": tt.from, "OBJECTS": tt.objects}, `
kubectl --context east apply $FROM
kubectl --context east wait --for=condition=Established --timeout=60s crd/gatewaynodes.clusterset.tombolo.dev crd/members.clusterset.tombolo.dev
test -z "$(kubectl --context east apply $FROM | grep -v -e unchanged -e ^poddisruptionbudget)"
kubectl --context east diff $FROM
until kubectl --context east apply -f - <<<"$OBJECTS"; do sleep 0.2; done`)
			if during := everything(ctx, t, config); len(during) < len(before)+10 {
				t.Errorf("%d objects, before the installation %d", len(during), len(before))
			}
			paste(ctx, t, planes.Kubeconfig(), map[string]string{"FROM": tt.from}, "kubectl --context east delete $FROM")
			diff := "not read"
			for deadline := time.Now().Add(time.Minute); diff != "" && time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
				diff = cmp.Diff(before, everything(ctx, t, config))
			}
			if diff != "" {
				t.Errorf("what is there (-before the installation +after the removal):\n%s", diff)
			}
		})
	}
}

// waitForNamespaces waits until the controllers have given the namespaces of a new cluster what
// each has.
func waitForNamespaces(ctx context.Context, t *testing.T, config *rest.Config) {
	t.Helper()
	var missing []string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		there := everything(ctx, t, config)
		missing = nil
		for _, namespace := range []string{"default", "kube-node-lease", "kube-public", "kube-system"} {
			for _, object := range []string{"configmaps. " + namespace + "/kube-root-ca.crt", "serviceaccounts. " + namespace + "/default"} {
				if !slices.Contains(there, object) {
					missing = append(missing, object)
				}
			}
		}
		if len(missing) == 0 {
			return
		}
	}
	t.Fatalf("a new cluster still lacks %q", missing)
}

// What a user makes, which goes with its CRD.
const (
	clusterSetYAML = `apiVersion: clusterset.tombolo.dev/v1alpha1
kind: ClusterSet
metadata: {name: default}
spec: {clusterSetID: demo, clusterID: east, hub: {server: "https://192.0.2.1:6443", secretRef: {name: tombolo-hub}}}
`
	memberYAML = `apiVersion: clusterset.tombolo.dev/v1alpha1
kind: Member
metadata: {name: east, namespace: tombolo-hub}
spec: {index: 1, cidrs: [10.1.0.0/16]}
`
)

// everything lists all objects of all kinds in all namespaces, sorted, but for what comes and goes by
// itself.
func everything(ctx context.Context, t *testing.T, config *rest.Config) []string {
	t.Helper()
	config = rest.CopyConfig(config)
	config.WarningHandler = rest.NoWarnings{}
	lists, err := discovery.NewDiscoveryClientForConfigOrDie(config).ServerPreferredResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		t.Fatal(err)
	}
	client := metadata.NewForConfigOrDie(config)
	var all []string
	for _, list := range lists {
		group, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list.APIResources {
			if !slices.Contains(r.Verbs, "list") || r.Name == "events" || r.Name == "leases" || r.Name == "componentstatuses" {
				continue
			}
			objects, err := client.Resource(group.WithResource(r.Name)).List(ctx, metav1.ListOptions{})
			if err != nil {
				continue // a kind that is just coming or going
			}
			for _, o := range objects.Items {
				all = append(all, r.Name+"."+group.Group+" "+o.Namespace+"/"+o.Name)
			}
		}
	}
	slices.Sort(all)
	return all
}
