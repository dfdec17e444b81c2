//go:build e2e

package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// TestIPFamilyConflict: east exports a Service with both IP families, west one with a single family.
// Both are told. The clusterset IP of the family that they share leads to the pods of both, the
// other one to east's alone. Once east has the shared family alone, they agree.
func TestIPFamilyConflict(t *testing.T) {
	s := &serving{scene: newScene(t, "families")}
	if len(s.own[s.scene.east]) < 2 {
		t.Skip("the pods of east have one IP family alone: bin/lab run --ip-family dual")
	}
	shared, other := s.families[0], corev1.IPv4Protocol
	if shared == corev1.IPv4Protocol {
		other = corev1.IPv6Protocol
	}
	both, single := service("mixed", "web", tcp("http", 80, httpPort)), service("mixed", "web", tcp("http", 80, httpPort))
	both.Spec.IPFamilies = []corev1.IPFamily{shared, other}
	single.Spec.IPFamilyPolicy, single.Spec.IPFamilies = new(corev1.IPFamilyPolicySingleStack), []corev1.IPFamily{shared}
	s.create(t, s.scene.east, deployment("web", 1), both, export("mixed"))
	awaitFamilies(t, s, s.scene.east, []string{"east"}, shared, other)
	s.create(t, s.scene.west, deployment("web", 1), single, export("mixed"))
	s.east, s.west = s.running(t, s.scene.east, "web", 1), s.running(t, s.scene.west, "web", 1)

	awaitFamilyConflict(t, s, other)
	for _, c := range s.both() {
		families := slices.DeleteFunc([]corev1.IPFamily{shared, other}, func(f corev1.IPFamily) bool { return !slices.Contains(s.own[c], f) })
		awaitFamilies(t, s, c, []string{"east", "west"}, families...)
		for _, family := range families {
			want := names(s.east...)
			if family == shared {
				want = names(slices.Concat(s.east, s.west)...)
			}
			eventually(t, podsWithin, func(ctx context.Context) error {
				got, err := s.asked(ctx, c, 12, s.url("mixed", 80), family)
				if err == nil && !slices.Equal(got, want) {
					err = fmt.Errorf("%s: over %s %v answer, want %v", c.name, family, got, want)
				}
				return err
			})
		}
	}

	both.Spec.IPFamilyPolicy, both.Spec.IPFamilies = new(corev1.IPFamilyPolicySingleStack), both.Spec.IPFamilies[:1]
	both.Spec.ClusterIPs = both.Spec.ClusterIPs[:1]
	if err := s.scene.east.Update(t.Context(), both); err != nil {
		t.Fatal(err)
	}
	awaitAgreement(t, s.scene, "mixed")
	for _, c := range s.both() {
		awaitFamilies(t, s, c, []string{"east", "west"}, shared)
	}
}

// awaitFamilies waits until a cluster's import has these IP families, and an address of each.
func awaitFamilies(t *testing.T, s *serving, c *cluster, clusters []string, want ...corev1.IPFamily) {
	t.Helper()
	eventually(t, within, func(ctx context.Context) error {
		got, err := s.imported(ctx, c, "mixed")
		if err != nil {
			return err
		}
		if !slices.Equal(got.Spec.IPFamilies, want) {
			err = fmt.Errorf("%s: ServiceImport mixed has IP families %v, want %v", c.name, got.Spec.IPFamilies, want)
		}
		return errors.Join(err, complete(got, clusters))
	})
}

// awaitFamilyConflict waits until both exports say that a family does not reach west.
func awaitFamilyConflict(t *testing.T, s *serving, family corev1.IPFamily) {
	t.Helper()
	eventually(t, within, func(ctx context.Context) error {
		for _, c := range s.both() {
			err := s.condition(ctx, c, "mixed", mcsv1beta1.ServiceExportConditionConflict, metav1.ConditionTrue, mcsv1beta1.ServiceExportReasonIPFamilyConflict)
			if err != nil {
				return err
			}
			var found mcsv1beta1.ServiceExport
			if err := s.fetch(ctx, c, "mixed", &found); err != nil {
				return err
			}
			message := meta.FindStatusCondition(found.Status.Conditions, string(mcsv1beta1.ServiceExportConditionConflict)).Message
			for _, say := range []string{string(family) + " reaches 1 of them", `1/2 clusters disagree: "west"`} {
				if !strings.Contains(message, say) {
					return fmt.Errorf("%s: the message of ServiceExport mixed does not say %q: %s", c.name, say, message)
				}
			}
		}
		return nil
	})
}
