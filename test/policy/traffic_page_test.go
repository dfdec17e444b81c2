//go:build integration

package policy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// pageBlock is a block of YAML or of commands in a page: its language, and its text.
var pageBlock = regexp.MustCompile("(?s)\n```(yaml|sh)\n(.*?)\n```")

// Every block of docs/traffic.md works as it stands, pasted from the first to the last.
func TestTrafficPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/traffic.md")
	if err != nil {
		t.Fatal(err)
	}
	const namespace = "shop"
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, clusterSet(func(*v1alpha1.ClusterSet) {}))
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, adminKubeconfig, 0o600); err != nil {
		t.Fatal(err)
	}
	counted := map[string]int{}
	for _, block := range pageBlock.FindAllStringSubmatch(string(page), -1) {
		language, text := block[1], block[2]
		counted[language]++
		if language == "sh" {
			paste(t.Context(), t, kubeconfig, nil, text)
			continue
		}
		file := filepath.Join(t.TempDir(), "block.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := run("apply", "--filename", file); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		t.Cleanup(func() {
			if _, err := run("delete", "--ignore-not-found", "--wait=false", "--filename", file); err != nil {
				t.Error(err)
			}
		})
	}
	if fences := strings.Count(string(page), "\n```") / 2; counted["yaml"]+counted["sh"] != fences || fences == 0 {
		t.Errorf("%d blocks of YAML and %d of commands, of %d in all", counted["yaml"], counted["sh"], fences)
	}
	set := &v1alpha1.ClusterSet{}
	if err := admin.Get(t.Context(), types.NamespacedName{Name: v1alpha1.ClusterSetName}, set); err != nil {
		t.Fatal(err)
	}
	if d := set.Spec.Dataplane; d.Locality != v1alpha1.LocalityLocalFirst || d.FailBackSeconds == nil || *d.FailBackSeconds != 60 {
		t.Errorf("the ClusterSet's dataplane is %+v after the page's commands", d)
	}
}
