//go:build e2e

package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// The derived Service of an import is served by the cluster's own kube-proxy, with the endpoints of all
// clusters, while the clusterset IP is as before.
func testDerivedService(t *testing.T, s *serving) {
	west := s.scene.west
	labels := map[string]string{"derive": s.namespace}
	chooseDerived(t, west, &v1alpha1.DerivedServices{ImportSelector: &metav1.LabelSelector{MatchLabels: labels}})
	for _, c := range s.both() {
		exported := export("derive")
		exported.Spec.ExportedLabels = labels
		s.create(t, c, service("derive", "web", tcp("http", 80, httpPort)), exported)
	}
	vips := awaitImport(t, s.scene, west, "derive", "east", "west").Spec.IPs
	all := names(slices.Concat(s.east, s.west)...)
	var derived corev1.Service
	eventually(t, within, func(ctx context.Context) error {
		si, err := s.imported(ctx, west, "derive")
		if err != nil {
			return err
		}
		name := si.Annotations[v1alpha1.AnnotationDerivedService]
		if name == "" {
			return fmt.Errorf("the import names no derived Service: %v", si.Annotations)
		}
		return s.fetch(ctx, west, name, &derived)
	})
	for _, family := range s.families {
		i := slices.Index(derived.Spec.IPFamilies, family)
		if i < 0 {
			t.Fatalf("the derived Service has no address of %s: %+v", family, derived.Spec)
		}
		ip := derived.Spec.ClusterIPs[i]
		url := fmt.Sprintf("http://%s/", net.JoinHostPort(ip, "80"))
		eventually(t, within, func(ctx context.Context) error {
			got, err := s.asked(ctx, west, 6*len(all), url, family)
			if err == nil && !slices.Equal(got, all) {
				err = fmt.Errorf("%s was answered by %v, want %v", url, got, all)
			}
			return err
		})
	}
	eventually(t, within, func(ctx context.Context) error { return s.answered(ctx, west, s.url("derive", 80), all) })
	want := map[question]answer{}
	put(want, s.clusterset("derive"), vips...)
	if err := s.resolves(t.Context(), west, want); err != nil {
		t.Error(err)
	}
	chooseDerived(t, west, nil)
	eventually(t, within, func(ctx context.Context) error {
		var left discoveryv1.EndpointSliceList
		if err := west.List(ctx, &left, client.InNamespace(s.namespace), client.MatchingLabels{discoveryv1.LabelServiceName: derived.Name}); err != nil {
			return err
		}
		if len(left.Items) > 0 {
			return fmt.Errorf("the derived Service %s has left %d slices", derived.Name, len(left.Items))
		}
		return nil
	})
	if err := s.fetch(t.Context(), west, derived.Name, &derived); !apierrors.IsNotFound(errors.Unwrap(err)) {
		t.Errorf("the derived Service is still there: %v", err)
	}
}

// chooseDerived writes ClusterSet.spec.derivedServices of a cluster, until the test ends.
func chooseDerived(t *testing.T, c *cluster, options *v1alpha1.DerivedServices) {
	t.Helper()
	write := func(ctx context.Context, options *v1alpha1.DerivedServices) error {
		var set v1alpha1.ClusterSet
		if err := c.Get(ctx, client.ObjectKey{Name: v1alpha1.ClusterSetName}, &set); err != nil {
			return err
		}
		before := set.DeepCopy()
		set.Spec.DerivedServices = options
		return c.Patch(ctx, &set, client.MergeFrom(before))
	}
	if err := write(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := write(context.WithoutCancel(t.Context()), nil); err != nil {
			t.Errorf("taking back derived Services of %s: %v", c.name, err)
		}
	})
}
