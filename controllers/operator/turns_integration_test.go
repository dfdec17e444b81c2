//go:build integration

package operator_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// One cluster exports 400 Services at once, and this member's API server takes its time for each import.
// What another cluster exports then is imported among the first, not behind all of them.
func TestClustersTakeTurns(t *testing.T) {
	const many = 400
	s := newScene(t, "east")
	east := s.members["east"]
	for i, name := range []string{"west", "north"} {
		s.hub.Approve(t, s.namespace, name, memberSpec(i+2))
		members.Eventually(t, func() error {
			remote := &v1alpha1.RemoteCluster{}
			if err := east.Get(t.Context(), client.ObjectKey{Name: name}, remote); err != nil {
				return err
			}
			if !meta.IsStatusConditionTrue(remote.Status.Conditions, v1alpha1.ConditionAccepted) {
				return fmt.Errorf("%s is not accepted", name)
			}
			return nil
		})
	}
	writes := make(chan struct{}) // each lets one through
	east.toOwn.Rule("slow imports", func(r members.Request, next http.Handler) http.Handler {
		if r.Resource != "serviceimports" || !r.Write() {
			return nil
		}
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			select {
			case <-writes:
			case <-q.Context().Done():
			}
			next.ServeHTTP(w, q)
		})
	})
	t.Cleanup(func() { east.toOwn.Rule("slow imports", nil) })

	for i := range many {
		s.publish(t, "west", fmt.Sprint("many-", i))
	}
	s.publish(t, "north", "one")
	imports := &mcsv1beta1.ServiceImportList{}
	done := func() bool {
		if err := east.List(t.Context(), imports, client.InNamespace(s.namespace)); err != nil {
			t.Fatal(err)
		}
		for i := range imports.Items {
			if imports.Items[i].Name == "one" {
				return true
			}
		}
		return false
	}
	for passed := 0; !done(); passed++ {
		select {
		case writes <- struct{}{}:
		case <-time.After(30 * time.Second):
			t.Fatalf("no import is written any more, after %d", passed)
		}
	}
	t.Logf("%d imports of the other cluster came before", len(imports.Items)-1)
	if before := len(imports.Items) - 1; before > many/2 {
		t.Errorf("%d of %d imports of one cluster came before that of the other", before, many)
	}
	close(writes)
	members.Eventually(t, func() error {
		if done(); len(imports.Items) != many+1 {
			return fmt.Errorf("%d imports, want %d", len(imports.Items), many+1)
		}
		return nil
	})
}

// publish makes what the cluster has on the hub of an exported Service.
func (s *scene) publish(t *testing.T, cluster v1alpha1.ClusterID, name string) {
	t.Helper()
	export := mcs.ExportedServiceFor(cluster, s.namespace, members.Service(s.namespace, name), members.Export(s.namespace, name))
	export.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	export.Spec.ExportedAt = metav1.Now()
	if err := s.hub.Create(t.Context(), export); err != nil {
		t.Fatal(err)
	}
}
