//go:build integration

package agent

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// lease waits for the gateway's Lease, and until it has been renewed after that time.
func (s apiServer) lease(t *testing.T, node string, after time.Time) *coordinationv1.Lease {
	t.Helper()
	lease := &coordinationv1.Lease{}
	if err := eventually(t.Context(), func() error {
		err := s.admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: v1alpha1.GatewayLeasePrefix + node}, lease)
		if err == nil && !lease.Spec.RenewTime.After(after) {
			err = fmt.Errorf("renewed at %s, want later than %s", lease.Spec.RenewTime, after)
		}
		return err
	}); err != nil {
		t.Fatalf("Lease of %s: %v", node, err)
	}
	return lease
}

// testLease: the Lease belongs to the GatewayNode, is renewed, and is made again when it is lost.
func (s apiServer) testLease(t *testing.T) {
	g := s.gateway(t, "east-2", func(*v1alpha1.GatewayNode) error { return nil })
	first := s.lease(t, "east-2", time.Time{})
	want := []metav1.OwnerReference{{APIVersion: "clusterset.tombolo.dev/v1alpha1", Kind: "GatewayNode", Name: "east-2", UID: g.UID}}
	if diff := cmp.Diff(want, first.OwnerReferences); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
	if got := *first.Spec.HolderIdentity; got != "east-2" {
		t.Errorf("the holder is %q", got)
	}
	again := s.lease(t, "east-2", first.Spec.RenewTime.Time)
	if took := again.Spec.RenewTime.Sub(first.Spec.RenewTime.Time); took >= clusterset.GatewayLeaseDuration {
		t.Errorf("renewed after %s, and counts for %d s", took, *again.Spec.LeaseDurationSeconds)
	}
	if err := s.admin.Delete(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if made := s.lease(t, "east-2", again.Spec.RenewTime.Time); made.UID == again.UID {
		t.Error("the Lease that was deleted is still there")
	}
}
