//go:build integration

package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// The operator's pods meet the level restricted of Kubernetes' pod security, by the API server's own
// judgement. The agents' do not: they need the node's network.
func TestOperatorIsRestricted(t *testing.T) {
	const namespace = "restricted"
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}})
	for file, restricted := range map[string]bool{"operator/deployment.yaml": true, "gateway/daemonset.yaml": false, "dataplane/daemonset.yaml": false} {
		raw, err := os.ReadFile(filepath.Join(configDir, file))
		if err != nil {
			t.Fatal(err)
		}
		var workload struct {
			Spec struct{ Template corev1.PodTemplateSpec }
		}
		if err := yaml.Unmarshal(raw, &workload); err != nil {
			t.Fatal(err)
		}
		spec := workload.Spec.Template.Spec
		create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: spec.ServiceAccountName}})
		spec.PriorityClassName = "" // system-* are for the operator's namespace only
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "pod"}, Spec: spec}
		err = admin.Create(t.Context(), pod, client.DryRunAll)
		if restricted && err != nil {
			t.Errorf("%s: %v", file, err)
		} else if !restricted && (err == nil || !strings.Contains(err.Error(), "violates PodSecurity")) {
			t.Errorf("%s: %v, want that pod security refuses it", file, err)
		}
		if mount := spec.AutomountServiceAccountToken; mount == nil || !*mount {
			t.Errorf("%s does not ask for its token, which its ServiceAccount does not mount", file)
		}
	}
}
