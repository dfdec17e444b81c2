//go:build e2e

package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// TestMixed: east has both IP families, west one and north the other. East reaches both. West and
// north have no way to each other, and say so: of the cluster, and of each import that they can give
// no address.
func TestMixed(t *testing.T) {
	config, err := clientcmd.NewDefaultClientConfigLoadingRules().Load()
	if err != nil {
		t.Fatal(err)
	}
	if config.Contexts["north"] == nil {
		t.Skip("there is no cluster north: bin/lab run --clusters 3 --ip-family dual,ipv6,ipv4")
	}
	s := &serving{scene: newScene(t, "mixed")}
	north, err := newCluster("north")
	if err != nil {
		t.Fatal(err)
	}
	s.createNamespace(t, north)
	east, west := s.scene.east, s.scene.west
	for _, c := range []*cluster{west, north} {
		s.create(t, c, deployment("web", 1), service("of-"+c.name, "web", tcp("http", 80, httpPort)), export("of-"+c.name),
			service("of-all", "web", tcp("http", 80, httpPort)), export("of-all"))
	}
	pods := map[*cluster][]corev1.Pod{west: s.running(t, west, "web", 1), north: s.running(t, north, "web", 1)}
	family := map[*cluster]corev1.IPFamily{}
	for c, p := range pods {
		family[c] = familyOf(p[0].Status.PodIP)
	}
	if family[west] == family[north] || len(s.own[east]) != 2 {
		t.Skipf("west has %s, north %s and east %s: bin/lab run --clusters 3 --ip-family dual,ipv6,ipv4", family[west], family[north], s.own[east])
	}
	for c, other := range map[*cluster]*cluster{west: north, north: west} {
		awaitImport(t, s.scene, east, "of-"+c.name, c.name)
		eventually(t, within, func(ctx context.Context) error { return s.notSupported(ctx, other, "of-"+c.name, family[c]) })
		eventually(t, within, func(ctx context.Context) error { return notReachable(ctx, c, other.name) })
		for _, name := range []string{"of-" + c.name, "of-all"} {
			eventually(t, podsWithin, func(ctx context.Context) error {
				got, err := s.asked(ctx, east, 4, s.url(name, 80), family[c])
				if err == nil && !slices.Equal(got, names(pods[c]...)) {
					err = fmt.Errorf("east: %s was answered over %s by %v, want the pod of %s", name, family[c], got, c.name)
				}
				return err
			})
		}
		eventually(t, within, func(ctx context.Context) error {
			return s.condition(ctx, c, "of-all", mcsv1beta1.ServiceExportConditionConflict, "True", mcsv1beta1.ServiceExportReasonIPFamilyConflict)
		})
	}
}

// notSupported returns an error unless the import has no address, and says that it is for want of the
// family.
func (s *serving) notSupported(ctx context.Context, c *cluster, name string, family corev1.IPFamily) error {
	got, err := s.imported(ctx, c, name)
	if err != nil {
		return err
	}
	ready := meta.FindStatusCondition(got.Status.Conditions, string(mcsv1beta1.ServiceImportConditionReady))
	if len(got.Spec.IPs) > 0 || ready == nil || ready.Reason != string(mcsv1beta1.ServiceImportReasonIPFamilyNotSupported) || !strings.Contains(ready.Message, string(family)) {
		return fmt.Errorf("%s: ServiceImport %s has IPs %v and is %+v, want none, and to hear of %s", c.name, name, got.Spec.IPs, ready, family)
	}
	return nil
}

// notReachable returns an error unless a cluster says of another that it does not reach it.
func notReachable(ctx context.Context, c *cluster, other string) error {
	var remote v1alpha1.RemoteCluster
	if err := c.Get(ctx, client.ObjectKey{Name: other}, &remote); err != nil {
		return err
	}
	reachable := meta.FindStatusCondition(remote.Status.Conditions, v1alpha1.ConditionReachable)
	if reachable == nil || reachable.Status != "False" || !strings.Contains(reachable.Message, "IP family") {
		return fmt.Errorf("%s: RemoteCluster %s is %+v, want it not reachable for want of a common IP family", c.name, other, reachable)
	}
	return nil
}
