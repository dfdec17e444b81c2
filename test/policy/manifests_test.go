//go:build integration

package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// The API server takes every sample as it is.
func TestSamples(t *testing.T) {
	samples, err := filepath.Glob(filepath.Join(configDir, "samples", "*.yaml"))
	if err != nil || len(samples) == 0 {
		t.Fatalf("found %d samples: %v", len(samples), err)
	}
	for _, sample := range samples {
		if _, err := run("apply", "--dry-run=server", "--filename", sample); err != nil {
			t.Error(err)
		}
	}
}

// The components for the Prometheus operator and for secure metrics fit onto the manifests: with both, a
// ServiceMonitor takes the PodMonitor's place.
func TestMetricsComponents(t *testing.T) {
	for _, tt := range []struct {
		components                           string
		podMonitors, serviceMonitors, secure int
	}{
		{"CONFIG/prometheus", 1, 0, 0},
		{"CONFIG/secure-metrics", 0, 0, 3},
		{"CONFIG/prometheus, CONFIG/secure-metrics", 0, 1, 3},
	} {
		output, err := run("kustomize", writeOverlay(t, "resources: [CONFIG/default]\ncomponents: ["+tt.components+"]\n"))
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range map[string]int{
			"\nkind: PodMonitor\n": tt.podMonitors, "\nkind: ServiceMonitor\n": tt.serviceMonitors, "        - --secure-metrics\n": tt.secure,
		} {
			if n := strings.Count(output, text); n != want {
				t.Errorf("%s: %d times %q, want %d", tt.components, n, text, want)
			}
		}
	}
}

// What docs/security.md says to add to an overlay leaves out the NetworkPolicy, which is there otherwise.
func TestNoNetworkPolicy(t *testing.T) {
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "add this to your overlay:\n\n```yaml\n")
	patch, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("docs/security.md does not say how to leave the policy out")
	}
	for text, want := range map[string]int{"": 1, patch: 0} {
		output, err := run("kustomize", writeOverlay(t, "resources: [CONFIG/default]\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(output, "\nkind: NetworkPolicy\n"); n != want {
			t.Errorf("%d NetworkPolicies with %q, want %d", n, text, want)
		}
	}
}

// The component for userspace WireGuard gives the gateway's pod the device file and a place for
// sockets, and no right more.
func TestUserspaceComponent(t *testing.T) {
	plain, with := gatewayPod(t, "resources: [CONFIG/default]\n"), gatewayPod(t, "resources: [CONFIG/default]\ncomponents: [CONFIG/userspace-wireguard]\n")
	volumes, mounts := map[string]corev1.Volume{}, map[string]string{}
	for _, v := range with.Volumes {
		volumes[v.Name] = v
	}
	for _, m := range with.Containers[0].VolumeMounts {
		mounts[m.MountPath] = m.Name
	}
	file := volumes[mounts["/dev/net/tun"]].HostPath
	if file == nil || file.Path != "/dev/net/tun" || file.Type == nil || *file.Type != corev1.HostPathCharDev {
		t.Errorf("/dev/net/tun is %+v", file)
	}
	if sockets := volumes[mounts["/var/run/wireguard"]].EmptyDir; sockets == nil {
		t.Error("/var/run/wireguard is no emptyDir")
	}
	if diff := cmp.Diff(plain.Containers[0].SecurityContext, with.Containers[0].SecurityContext); diff != "" {
		t.Errorf("security context (-without +with):\n%s", diff)
	}
	if diff := cmp.Diff(plain.SecurityContext, with.SecurityContext); diff != "" {
		t.Errorf("security context of the pod (-without +with):\n%s", diff)
	}
}

// gatewayPod is the spec of the gateway's pods that an overlay makes.
func gatewayPod(t *testing.T, overlay string) corev1.PodSpec {
	t.Helper()
	output, err := run("kustomize", writeOverlay(t, overlay))
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range strings.Split(output, "\n---\n") {
		var set appsv1.DaemonSet
		if err := yaml.Unmarshal([]byte(doc), &set); err == nil && set.Kind == "DaemonSet" && set.Name == "tombolo-gateway" {
			return set.Spec.Template.Spec
		}
	}
	t.Fatal("no DaemonSet tombolo-gateway")
	return corev1.PodSpec{}
}

// The overlay in docs/install.md makes a hub of another name, and the policy is in force there.
func TestHubOverlay(t *testing.T) {
	const namespace = "my-hub"
	text, err := pageOverlay("config/hub")
	if err != nil {
		t.Fatal(err)
	}
	overlay := writeOverlay(t, text)
	if _, err := run("apply", "--kustomize", overlay); err != nil {
		t.Fatal(err)
	}
	made := &corev1.Namespace{}
	if err := admin.Get(t.Context(), types.NamespacedName{Name: namespace}, made); err != nil {
		t.Fatal(err)
	}
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "tombolo-member"}
	t.Cleanup(func() { remove(t, &rbacv1.Role{ObjectMeta: meta}); remove(t, made) })
	if got := made.Labels[v1alpha1.LabelClusterSet]; got != "my-clusterset" {
		t.Errorf("the hub's label is %q", got)
	}
	east := addMember(t, namespace, "east")
	for kind, object := range published(namespace, "east.a", "east") {
		checkForbidden(t, east.Create(t.Context(), object, client.DryRunAll), "")
		checkForbidden(t, east.Create(t.Context(), published(namespace, "west.a", "west")[kind], client.DryRunAll), wrongLabel)
	}
}

// A second installation, in another namespace, takes nothing from the first one and is told where
// that is.
func TestSecondInstallation(t *testing.T) {
	second := writeOverlay(t, "namespace: second\nresources: [CONFIG/rbac]\n")
	bindings := func() string {
		output, err := run("get", "clusterrolebindings", "tombolo-operator", "tombolo-gateway", "tombolo-dataplane", "--output", "jsonpath={.items[*].subjects}")
		if err != nil {
			t.Fatal(err)
		}
		return output
	}
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "second"}})
	before := bindings()
	_, err := run("apply", "--kustomize", second)
	if err == nil || strings.Count(err.Error(), "tombolo is installed in the namespace "+system+", and a cluster has one installation") != 3 {
		t.Errorf("a second installation: %v", err)
	}
	if diff := cmp.Diff(before, bindings()); diff != "" {
		t.Errorf("bindings of the first installation (-before +after):\n%s", diff)
	}
	if _, err := apply("rbac"); err != nil {
		t.Error("the first installation cannot be applied again:", err)
	}
}

// pageOverlay is the kustomization.yaml in docs/install.md that has this resource, with CONFIG for
// config/.
func pageOverlay(resource string) (string, error) {
	page, err := os.ReadFile("../../docs/install.md")
	if err != nil {
		return "", err
	}
	const base = "github.com/tombolo-net/tombolo/"
	for _, block := range pageBlock.FindAllStringSubmatch(string(page), -1) {
		if text := block[2]; strings.HasPrefix(text, "# kustomization.yaml\n") && strings.Contains(text, "\n- "+base+resource) {
			return strings.ReplaceAll(text, base+"config", "CONFIG"), nil
		}
	}
	return "", fmt.Errorf("docs/install.md has no kustomization.yaml with %s", resource)
}

// writeOverlay writes a kustomization.yaml, in which CONFIG stands for config/, into a folder and
// returns that.
func writeOverlay(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := writeKustomization(dir, text); err != nil {
		t.Fatal(err)
	}
	return dir
}

// writeKustomization is writeOverlay into a folder that is there.
func writeKustomization(dir, text string) error {
	config, err := filepath.Abs(configDir)
	if err != nil {
		return err
	}
	relative, err := filepath.Rel(dir, config)
	if err != nil {
		return err
	}
	text = strings.ReplaceAll(text, "CONFIG", relative)
	return os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o644)
}
