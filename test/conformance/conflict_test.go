//go:build e2e

package conformance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// dispute is a Service that west exports otherwise than east, whose export is the older one.
type dispute struct {
	reasons []mcsv1beta1.ServiceExportConditionReason
	// differ changes what west has from what east has.
	differ func(*corev1.Service, *mcsv1beta1.ServiceExport)
	// kept says what is wrong with the import, which east decides.
	kept func(*mcsv1beta1.ServiceImport) error
}

// disputes are one for each reason, by the Service's name, but for that of TestIPFamilyConflict.
var disputes = map[string]dispute{
	"more-ports": {
		reasons: []mcsv1beta1.ServiceExportConditionReason{mcsv1beta1.ServiceExportReasonPortConflict},
		differ: func(s *corev1.Service, _ *mcsv1beta1.ServiceExport) {
			s.Spec.Ports = append(s.Spec.Ports, tcp("admin", 81, httpPort))
		},
		kept: ports("http 80", "admin 81"),
	},
	"other-number": {
		reasons: []mcsv1beta1.ServiceExportConditionReason{mcsv1beta1.ServiceExportReasonPortConflict},
		differ:  func(s *corev1.Service, _ *mcsv1beta1.ServiceExport) { s.Spec.Ports[0].Port = 8000 },
		kept:    ports("http 80"),
	},
	"headlessness": {
		reasons: []mcsv1beta1.ServiceExportConditionReason{mcsv1beta1.ServiceExportReasonTypeConflict},
		differ:  func(s *corev1.Service, _ *mcsv1beta1.ServiceExport) { headless(s) },
		kept: func(i *mcsv1beta1.ServiceImport) error {
			return equal("type", i.Spec.Type, mcsv1beta1.ClusterSetIP)
		},
	},
	"affinity": {
		reasons: []mcsv1beta1.ServiceExportConditionReason{mcsv1beta1.ServiceExportReasonSessionAffinityConflict},
		differ: func(s *corev1.Service, _ *mcsv1beta1.ServiceExport) {
			s.Spec.SessionAffinity = corev1.ServiceAffinityNone
		},
		kept: func(i *mcsv1beta1.ServiceImport) error {
			return equal("sessionAffinity", i.Spec.SessionAffinity, corev1.ServiceAffinityClientIP)
		},
	},
	"affinity-config": {
		reasons: []mcsv1beta1.ServiceExportConditionReason{mcsv1beta1.ServiceExportReasonSessionAffinityConfigConflict},
		differ: func(s *corev1.Service, _ *mcsv1beta1.ServiceExport) {
			s.Spec.SessionAffinityConfig.ClientIP.TimeoutSeconds = new(int32(60))
		},
		kept: func(i *mcsv1beta1.ServiceImport) error {
			return equal("timeout", *i.Spec.SessionAffinityConfig.ClientIP.TimeoutSeconds, 30)
		},
	},
	"internal-policy": {
		reasons: []mcsv1beta1.ServiceExportConditionReason{mcsv1beta1.ServiceExportReasonInternalTrafficPolicyConflict},
		differ: func(s *corev1.Service, _ *mcsv1beta1.ServiceExport) {
			s.Spec.InternalTrafficPolicy = new(corev1.ServiceInternalTrafficPolicyLocal)
		},
		kept: func(i *mcsv1beta1.ServiceImport) error {
			return equal("internalTrafficPolicy", *i.Spec.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster)
		},
	},
	"distribution": {
		reasons: []mcsv1beta1.ServiceExportConditionReason{mcsv1beta1.ServiceExportReasonTrafficDistributionConflict},
		differ: func(s *corev1.Service, _ *mcsv1beta1.ServiceExport) {
			s.Spec.TrafficDistribution = new(corev1.ServiceTrafficDistributionPreferSameNode)
		},
		kept: func(i *mcsv1beta1.ServiceImport) error {
			return equal("trafficDistribution", *i.Spec.TrafficDistribution, corev1.ServiceTrafficDistributionPreferSameZone)
		},
	},
	"labels": {
		reasons: []mcsv1beta1.ServiceExportConditionReason{mcsv1beta1.ServiceExportReasonLabelsConflict},
		differ: func(_ *corev1.Service, e *mcsv1beta1.ServiceExport) {
			e.Spec.ExportedLabels = map[string]string{"tier": "back", "more": "x"}
		},
		kept: func(i *mcsv1beta1.ServiceImport) error {
			return errors.Join(equal("label tier", i.Labels["tier"], "front"), equal("label more", i.Labels["more"], ""))
		},
	},
	"annotations": {
		reasons: []mcsv1beta1.ServiceExportConditionReason{mcsv1beta1.ServiceExportReasonAnnotationsConflict},
		differ:  func(_ *corev1.Service, e *mcsv1beta1.ServiceExport) { e.Spec.ExportedAnnotations = nil },
		kept: func(i *mcsv1beta1.ServiceImport) error {
			return equal("annotation owner", i.Annotations["owner"], "shop")
		},
	},
	"several": {
		reasons: []mcsv1beta1.ServiceExportConditionReason{
			mcsv1beta1.ServiceExportReasonAnnotationsConflict, mcsv1beta1.ServiceExportReasonLabelsConflict, mcsv1beta1.ServiceExportReasonPortConflict,
		},
		differ: func(s *corev1.Service, e *mcsv1beta1.ServiceExport) {
			s.Spec.Ports[0].Port = 8000
			e.Spec.ExportedAnnotations, e.Spec.ExportedLabels = nil, nil
		},
		kept: ports("http 80"),
	},
}

func equal[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s is %v, want %v", what, got, want)
	}
	return nil
}

// ports wants the import's to be these, as "name number", in any order.
func ports(want ...string) func(*mcsv1beta1.ServiceImport) error {
	return func(i *mcsv1beta1.ServiceImport) error {
		var got []string
		for _, p := range i.Spec.Ports {
			got = append(got, fmt.Sprintf("%s %d", p.Name, p.Port))
		}
		return equal("ports", strings.Join(slices.Sorted(slices.Values(got)), ", "), strings.Join(slices.Sorted(slices.Values(want)), ", "))
	}
}

// disputed is what east has, and west before it differs.
func disputed(name string) (*corev1.Service, *mcsv1beta1.ServiceExport) {
	return full(name, tcp("http", 80, httpPort))
}

// Clusters that disagree about a Service both get a condition, and the older export decides. Once
// they agree, both get one again.
func TestConflicts(t *testing.T) {
	s := newScene(t, "conflicts")
	var last time.Time
	for name := range disputes {
		service, export := disputed(name)
		s.create(t, s.east, service, export)
		last = export.CreationTimestamp.Time
	}
	for name := range disputes {
		awaitImport(t, s, s.east, name, "east")
	}
	eventually(t, within, func(context.Context) error { // creation times are in seconds, and the clock is one
		if !time.Now().Truncate(time.Second).After(last) {
			return errors.New("an export that is made now is as old as east's")
		}
		return nil
	})
	for name, d := range disputes {
		service, export := disputed(name)
		d.differ(service, export)
		s.create(t, s.west, service, export)
	}
	for name, d := range disputes {
		t.Run(name, func(t *testing.T) {
			awaitConflict(t, s, name, d.reasons)
			for _, c := range s.both() {
				if err := d.kept(awaitImport(t, s, c, name, "east", "west")); err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
			}
			s.settle(t, name)
			awaitAgreement(t, s, name)
		})
	}
}

// awaitConflict waits until both exports have these reasons, and a message that names the clusters.
func awaitConflict(t *testing.T, s *scene, name string, reasons []mcsv1beta1.ServiceExportConditionReason) {
	t.Helper()
	var want []string
	for _, r := range reasons {
		want = append(want, string(r))
	}
	eventually(t, within, func(ctx context.Context) error {
		for _, c := range s.both() {
			if err := s.condition(ctx, c, name, mcsv1beta1.ServiceExportConditionConflict, metav1.ConditionTrue, ""); err != nil {
				return err
			}
			var found mcsv1beta1.ServiceExport
			if err := s.fetch(ctx, c, name, &found); err != nil {
				return err
			}
			got := meta.FindStatusCondition(found.Status.Conditions, string(mcsv1beta1.ServiceExportConditionConflict))
			if !slices.Equal(slices.Sorted(strings.SplitSeq(got.Reason, ",")), want) {
				return fmt.Errorf("%s: ServiceExport %s conflicts because of %s, want %v", c.name, name, got.Reason, want)
			}
			for _, say := range []string{"east", "1/2"} {
				if !strings.Contains(got.Message, say) {
					return fmt.Errorf("%s: the message of ServiceExport %s does not say %s: %s", c.name, name, say, got.Message)
				}
			}
		}
		return nil
	})
}

// settle makes west export what east does. A Service cannot change from headless: there west stops
// exporting.
func (s *scene) settle(t *testing.T, name string) {
	t.Helper()
	service, export := disputed(name)
	if name == "headlessness" {
		s.remove(t, s.west, export)
		return
	}
	var haveService corev1.Service
	var haveExport mcsv1beta1.ServiceExport
	if err := errors.Join(s.fetch(t.Context(), s.west, name, &haveService), s.fetch(t.Context(), s.west, name, &haveExport)); err != nil {
		t.Fatal(err)
	}
	ips := haveService.Spec.ClusterIPs
	haveService.Spec = service.Spec
	haveService.Spec.ClusterIP, haveService.Spec.ClusterIPs = ips[0], ips
	if err := s.west.Update(t.Context(), &haveService); err != nil {
		t.Fatal(err)
	}
	if maps.Equal(haveExport.Spec.ExportedLabels, export.Spec.ExportedLabels) && maps.Equal(haveExport.Spec.ExportedAnnotations, export.Spec.ExportedAnnotations) {
		return
	}
	eventually(t, within, func(ctx context.Context) error { // the operator writes the status
		if err := s.fetch(ctx, s.west, name, &haveExport); err != nil {
			return err
		}
		haveExport.Spec = export.Spec
		return s.west.Update(ctx, &haveExport)
	})
}

func awaitAgreement(t *testing.T, s *scene, name string) {
	t.Helper()
	clusters := s.both()
	if name == "headlessness" {
		clusters = clusters[:1]
	}
	eventually(t, within, func(ctx context.Context) error {
		for _, c := range clusters {
			err := s.condition(ctx, c, name, mcsv1beta1.ServiceExportConditionConflict, metav1.ConditionFalse, mcsv1beta1.ServiceExportReasonNoConflicts)
			if err != nil {
				return err
			}
		}
		return nil
	})
}
