//go:build integration

package serviceimport_test

import (
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/serviceimport"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// half is a Service that east and west export, and whose Member west is deleted, because that
// cluster is dead and nobody told the clusterset's admin to mark it as removed.
type half struct {
	*members.Env
	r          *serviceimport.Reconciler
	namespace  string
	west       *v1alpha1.Member
	ours       *v1alpha1.ExportedService // east's
	theirs     *v1alpha1.ExportedService // west's
	everBefore *mcsv1beta1.ServiceImport // with both
}

// newHalf makes west's export the older one, or the younger one.
func newHalf(t *testing.T, namespace string, westOlder bool, edit func(ours, theirs *v1alpha1.ExportedServiceSpec)) *half {
	t.Helper()
	e, r, _ := newEnv(t, namespace)
	h := &half{Env: e, r: r, namespace: namespace, west: west(t, e)}
	publish := func(cluster v1alpha1.ClusterID) *v1alpha1.ExportedService {
		export, _ := e.Hub.Publish(t, cluster, namespace, "web")
		return export
	}
	if westOlder {
		h.theirs = publish("west")
		waitForNextSecond(t, e)
		h.ours = publish(members.Own)
	} else {
		h.ours = publish(members.Own)
		waitForNextSecond(t, e)
		h.theirs = publish("west")
	}
	if edit != nil {
		edit(&h.ours.Spec, &h.theirs.Spec)
		editExport(t, e, h.ours)
		editExport(t, e, h.theirs)
	}
	h.everBefore = h.imported(t)
	if err := e.Hub.Delete(t.Context(), h.west); err != nil {
		t.Fatal(err)
	}
	if now := h.imported(t); !reflect.DeepEqual(now.Spec, h.everBefore.Spec) || len(now.Status.Clusters) != 2 {
		t.Fatalf("that a Member is absent changes %+v of %v to %+v", h.everBefore.Spec, now.Status.Clusters, now.Spec)
	}
	return h
}

func (h *half) imported(t *testing.T) *mcsv1beta1.ServiceImport {
	t.Helper()
	for range 3 {
		h.Step(t, h.r, h.namespace, "web")
	}
	got := get(t, h.Env, h.namespace, "web")
	if got == nil {
		t.Fatal("the import is gone")
	}
	return got
}

// say makes east's export say something else.
func (h *half) say(t *testing.T, edit func(*v1alpha1.ExportedServiceSpec)) *mcsv1beta1.ServiceImport {
	t.Helper()
	edit(&h.ours.Spec)
	editExport(t, h.Env, h.ours)
	return h.imported(t)
}

// again makes west's Member as it was, or removed.
func (h *half) again(t *testing.T, removed bool) *mcsv1beta1.ServiceImport {
	t.Helper()
	h.west.ResourceVersion, h.west.UID, h.west.Spec.Removed = "", "", removed
	h.Hub.Make(t, h.west)
	return h.imported(t)
}

func ports(all ...mcsv1beta1.ServicePort) []mcsv1beta1.ServicePort {
	for i := range all {
		all[i].Protocol = corev1.ProtocolTCP
	}
	return all
}

func wantPorts(t *testing.T, what string, got *mcsv1beta1.ServiceImport, want ...mcsv1beta1.ServicePort) {
	t.Helper()
	if want = ports(want...); !reflect.DeepEqual(got.Spec.Ports, want) {
		t.Errorf("%s: ports are %+v, want %+v", what, got.Spec.Ports, want)
	}
	if len(got.Spec.IPs) != 1 {
		t.Errorf("%s: clusterset IPs are %v", what, got.Spec.IPs)
	}
}

var (
	http80   = mcsv1beta1.ServicePort{Name: "http", Port: 80}
	http8080 = mcsv1beta1.ServicePort{Name: "http", Port: 8080}
	web8080  = mcsv1beta1.ServicePort{Name: "web", Port: 8080}
	metrics  = mcsv1beta1.ServicePort{Name: "metrics", Port: 9090}
)

// What a present cluster says anew counts, whichever export is the older one: a port that it adds,
// moves or renames. What the absent one may need stays.
func TestPortsBesideAnAbsentMember(t *testing.T) {
	for name, westOlder := range map[string]bool{"absent-older": true, "absent-younger": false} {
		t.Run(name, func(t *testing.T) {
			h := newHalf(t, name, westOlder, nil)
			set := func(all ...mcsv1beta1.ServicePort) func(*v1alpha1.ExportedServiceSpec) {
				return func(s *v1alpha1.ExportedServiceSpec) { s.Ports = ports(all...) }
			}
			wantPorts(t, "added", h.say(t, set(http80, metrics)), http80, metrics)
			wantPorts(t, "moved", h.say(t, set(http8080, metrics)), http8080, metrics)
			h.r = &serviceimport.Reconciler{Client: h.r.Client, Hub: h.r.Hub, Events: h.r.Events, Skipped: h.r.Skipped, Namespace: h.r.Namespace}
			wantPorts(t, "moved, and the operator started again", h.imported(t), http8080, metrics)
			got := h.say(t, set(web8080, metrics))
			wantPorts(t, "renamed, so that west may still serve the old one", got, web8080, metrics, http80)
			if got.Spec.IPs[0] != h.everBefore.Spec.IPs[0] {
				t.Errorf("the clusterset IP was %v, is %v", h.everBefore.Spec.IPs, got.Spec.IPs)
			}
			condition := meta.FindStatusCondition(got.Status.Conditions, "Ready")
			for _, part := range []string{"Member", "west", "spec.removed"} {
				if condition == nil || !strings.Contains(condition.Message, part) {
					t.Errorf("Ready does not say %q: %+v", part, condition)
				}
			}
			if got = h.again(t, true); len(got.Status.Clusters) != 1 {
				t.Errorf("imported from %v after west was marked as removed", got.Status.Clusters)
			}
			wantPorts(t, "removed", got, web8080, metrics)
			if _, kept := got.Annotations[v1alpha1.AnnotationPartialView]; kept {
				t.Errorf("the memory of the time without west stays: %v", got.Annotations)
			}
		})
	}
}

// A conflict that there was before stays decided as it was: a hub that is filled again, Member by
// Member, looks the same.
func TestConflictBesideAnAbsentMember(t *testing.T) {
	h := newHalf(t, "standing", true, func(ours, theirs *v1alpha1.ExportedServiceSpec) {
		ours.Type, ours.Ports, ours.SessionAffinity = mcsv1beta1.Headless, ports(http8080), corev1.ServiceAffinityClientIP
		ours.ExportedLabels = map[string]string{"team": "east"}
		theirs.ExportedLabels = map[string]string{"team": "west"}
	})
	got := h.say(t, func(s *v1alpha1.ExportedServiceSpec) { s.ExportedAnnotations = map[string]string{"note": "new"} })
	if got.Spec.Type != mcsv1beta1.ClusterSetIP || got.Spec.SessionAffinity == corev1.ServiceAffinityClientIP || got.Labels["team"] != "west" {
		t.Errorf("what the absent cluster had won is lost: %+v with labels %v", got.Spec, got.Labels)
	}
	if got.Annotations["note"] != "new" {
		t.Errorf("what the present cluster says anew is not there: %v", got.Annotations)
	}
	wantPorts(t, "in conflict", got, http80)
	if back := h.again(t, false); !reflect.DeepEqual(back.Spec, h.everBefore.Spec) || back.Labels["team"] != "west" {
		t.Errorf("west is back, and the import is %+v, was %+v", back.Spec, h.everBefore.Spec)
	}
}

// All other fields are followed, too.
func TestFieldsBesideAnAbsentMember(t *testing.T) {
	for name, westOlder := range map[string]bool{"fields-older": true, "fields-younger": false} {
		t.Run(name, func(t *testing.T) {
			h := newHalf(t, name, westOlder, nil)
			got := h.say(t, func(s *v1alpha1.ExportedServiceSpec) {
				s.SessionAffinity = corev1.ServiceAffinityClientIP
				s.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: ptr.To[int32](77)}}
				s.InternalTrafficPolicy = ptr.To(corev1.ServiceInternalTrafficPolicyLocal)
				s.TrafficDistribution = ptr.To("PreferSameZone")
				s.ExportedLabels = map[string]string{"team": "east"}
				s.ExportedAnnotations = map[string]string{"note": "new"}
			})
			if got.Spec.SessionAffinity != corev1.ServiceAffinityClientIP || got.Spec.SessionAffinityConfig == nil ||
				ptr.Deref(got.Spec.InternalTrafficPolicy, "") != corev1.ServiceInternalTrafficPolicyLocal ||
				ptr.Deref(got.Spec.TrafficDistribution, "") != "PreferSameZone" || got.Labels["team"] != "east" || got.Annotations["note"] != "new" {
				t.Errorf("spec is %+v, labels %v, annotations %v", got.Spec, got.Labels, got.Annotations)
			}
			got = h.say(t, func(s *v1alpha1.ExportedServiceSpec) { s.ExportedLabels, s.ExportedAnnotations = nil, nil })
			if got.Labels["team"] != "" || got.Annotations["note"] != "" {
				t.Errorf("what was withdrawn stays: labels %v, annotations %v", got.Labels, got.Annotations)
			}
			got = h.say(t, func(s *v1alpha1.ExportedServiceSpec) { s.Type = mcsv1beta1.Headless })
			if got.Spec.Type != mcsv1beta1.Headless || len(got.Spec.IPs) != 0 {
				t.Errorf("headless now, but imported as %+v", got.Spec)
			}
			got = h.say(t, func(s *v1alpha1.ExportedServiceSpec) {
				s.Type, s.IPFamilies = mcsv1beta1.ClusterSetIP, []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}
			})
			if got.Spec.Type != mcsv1beta1.ClusterSetIP || len(got.Spec.IPs) == 0 || got.Spec.IPs[0] != h.everBefore.Spec.IPs[0] {
				t.Errorf("with a clusterset IP again, but imported as %+v; had %v", got.Spec, h.everBefore.Spec.IPs)
			}
		})
	}
}
