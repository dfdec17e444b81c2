//go:build e2e

package conformance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// An import is there as long as one cluster exports, in every cluster, and keeps its address. None
// of the pods that its Service selects exists: that ends no import.
func TestImportLivesAsLongAsAnExport(t *testing.T) {
	s := newScene(t, "life")
	s.create(t, s.east, service("web", "nobody", tcp("http", 80, httpPort)))
	consistentlyNotImported(t, s, "web") // a Service alone
	s.create(t, s.east, export("web"))
	first := map[string]string{}
	for _, c := range s.both() {
		first[c.name] = awaitImport(t, s, c, "web", "east").Spec.IPs[0]
	}

	s.create(t, s.west, service("web", "nobody", tcp("http", 80, httpPort)), export("web"))
	for _, c := range s.both() {
		awaitImport(t, s, c, "web", "east", "west")
	}
	s.remove(t, s.east, export("web"))
	for _, c := range s.both() {
		if got := awaitImport(t, s, c, "web", "west").Spec.IPs[0]; got != first[c.name] {
			t.Errorf("%s: the clusterset IP was %s and is %s now", c.name, first[c.name], got)
		}
	}
	s.remove(t, s.west, export("web"))
	awaitNoImport(t, s, "web")
}

// awaitImport waits for a complete import of just these clusters, and returns it.
func awaitImport(t *testing.T, s *scene, c *cluster, name string, clusters ...string) *mcsv1beta1.ServiceImport {
	t.Helper()
	var got *mcsv1beta1.ServiceImport
	eventually(t, within, func(ctx context.Context) (err error) {
		if got, err = s.imported(ctx, c, name); err != nil {
			return err
		}
		return errors.Join(complete(got, clusters))
	})
	return got
}

// complete returns what an import lacks.
func complete(i *mcsv1beta1.ServiceImport, clusters []string) error {
	var from []string
	for _, c := range i.Status.Clusters {
		from = append(from, c.Cluster)
	}
	addresses := len(i.Spec.IPFamilies)
	if i.Spec.Type == mcsv1beta1.Headless {
		addresses = 0
	}
	switch {
	case !slices.Equal(slices.Sorted(slices.Values(from)), clusters):
		return fmt.Errorf("status.clusters of ServiceImport %s is %v, want %v", i.Name, from, clusters)
	case len(i.Spec.IPFamilies) == 0 || len(i.Spec.IPs) != addresses:
		return fmt.Errorf("ServiceImport %s (%s) has IPs %v for families %v", i.Name, i.Spec.Type, i.Spec.IPs, i.Spec.IPFamilies)
	case i.Status.EndpointSliceObjects != mcsv1beta1.EndpointSliceObjectsPresent:
		return fmt.Errorf("status.endpointSliceObjects of ServiceImport %s is %q", i.Name, i.Status.EndpointSliceObjects)
	case !meta.IsStatusConditionTrue(i.Status.Conditions, string(mcsv1beta1.ServiceImportConditionReady)):
		return fmt.Errorf("ServiceImport %s is not Ready: %+v", i.Name, i.Status.Conditions)
	}
	for _, ip := range i.Spec.IPs {
		if _, err := netip.ParseAddr(ip); err != nil {
			return err
		}
	}
	return nil
}

// awaitNoImport waits until neither cluster has the import, nor a slice of it.
func awaitNoImport(t *testing.T, s *scene, name string) {
	t.Helper()
	eventually(t, within, func(ctx context.Context) error {
		for _, c := range s.both() {
			var slices discoveryv1.EndpointSliceList
			if err := c.List(ctx, &slices, client.InNamespace(s.namespace), client.MatchingLabels{mcsv1beta1.LabelServiceName: name}); err != nil {
				return err
			}
			if len(slices.Items) > 0 {
				return fmt.Errorf("%s still has EndpointSlice %s", c.name, slices.Items[0].Name)
			}
			if err := s.notImported(ctx, c, name); err != nil {
				return err
			}
		}
		return nil
	})
}

// consistentlyNotImported ends when another export, made now, has gone all the way: by then this
// one would have, too.
func consistentlyNotImported(t *testing.T, s *scene, name string) {
	t.Helper()
	other := "beside-" + name
	s.create(t, s.east, service(other, "nobody", tcp("http", 80, httpPort)), export(other))
	for _, c := range s.both() {
		awaitImport(t, s, c, other, "east")
		if err := s.notImported(t.Context(), c, name); err != nil {
			t.Fatal(err)
		}
	}
	s.remove(t, s.east, export(other))
}

// A cluster without the namespace imports nothing; once it has it, it does, also the second time.
func TestImportFollowsTheNamespace(t *testing.T) {
	s := newScene(t, "namespace")
	s.removeNamespace(t, s.west)
	s.create(t, s.east, service("web", "nobody", tcp("http", 80, httpPort)), export("web"))
	awaitImport(t, s, s.east, "web", "east")
	for range 2 {
		s.createNamespace(t, s.west)
		awaitImport(t, s, s.west, "web", "east")
		s.removeNamespace(t, s.west)
	}
	awaitImport(t, s, s.east, "web", "east")
}

func (s *scene) removeNamespace(t *testing.T, c *cluster) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}
	if err := c.Delete(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	eventually(t, podsWithin, func(ctx context.Context) error {
		if err := c.Get(ctx, client.ObjectKeyFromObject(namespace), namespace); !apierrors.IsNotFound(err) {
			return fmt.Errorf("%s still has namespace %s: %w", c.name, s.namespace, err)
		}
		return nil
	})
}

// What becomes of each type of Service.
func TestServiceTypes(t *testing.T) {
	s := newScene(t, "types")
	http := tcp("http", 80, httpPort)
	for _, tt := range []struct {
		name string
		kind corev1.ServiceType
	}{
		{"clusterip", corev1.ServiceTypeClusterIP}, {"nodeport", corev1.ServiceTypeNodePort}, {"loadbalancer", corev1.ServiceTypeLoadBalancer},
	} {
		typed := service(tt.name, "nobody", http)
		typed.Spec.Type = tt.kind
		s.create(t, s.east, typed, export(tt.name))
	}
	external := service("external", "", http)
	external.Spec.IPFamilyPolicy = nil
	external.Spec.Type, external.Spec.ExternalName = corev1.ServiceTypeExternalName, "example.com"
	s.create(t, s.east, headless(service("headless", "nobody", http)), export("headless"), external, export("external"), export("nothing"))

	for _, c := range s.both() {
		for _, name := range []string{"clusterip", "nodeport", "loadbalancer", "headless"} {
			want := mcsv1beta1.ClusterSetIP
			if name == "headless" {
				want = mcsv1beta1.Headless
			}
			got := awaitImport(t, s, c, name, "east")
			if got.Spec.Type != want {
				t.Errorf("%s: ServiceImport %s is %s, want %s", c.name, name, got.Spec.Type, want)
			}
			var old mcsv1alpha1.ServiceImport
			if err := s.fetch(t.Context(), c, name, &old); err != nil || string(old.Spec.Type) != string(want) {
				t.Errorf("%s: as v1alpha1 ServiceImport %s is %q: %v", c.name, name, old.Spec.Type, err)
			}
		}
	}
	eventually(t, within, func(ctx context.Context) error {
		return errors.Join(
			s.condition(ctx, s.east, "clusterip", mcsv1beta1.ServiceExportConditionValid, metav1.ConditionTrue, mcsv1beta1.ServiceExportReasonValid),
			s.condition(ctx, s.east, "clusterip", mcsv1beta1.ServiceExportConditionReady, metav1.ConditionTrue, ""),
			s.condition(ctx, s.east, "clusterip", mcsv1beta1.ServiceExportConditionConflict, metav1.ConditionFalse, mcsv1beta1.ServiceExportReasonNoConflicts),
			s.condition(ctx, s.east, "external", mcsv1beta1.ServiceExportConditionValid, metav1.ConditionFalse, mcsv1beta1.ServiceExportReasonInvalidServiceType),
			s.condition(ctx, s.east, "nothing", mcsv1beta1.ServiceExportConditionValid, metav1.ConditionFalse, mcsv1beta1.ServiceExportReasonNoService),
		)
	})
	for _, c := range s.both() {
		for _, name := range []string{"external", "nothing"} {
			if err := s.notImported(t.Context(), c, name); err != nil {
				t.Error(err)
			}
		}
	}
}

// A Service may come after its export, change its type, go, and come back.
func TestServiceComesAndGoes(t *testing.T) {
	s := newScene(t, "service")
	http := tcp("http", 80, httpPort)
	s.create(t, s.east, export("web"))
	valid := func(status metav1.ConditionStatus, reason mcsv1beta1.ServiceExportConditionReason) {
		t.Helper()
		eventually(t, within, func(ctx context.Context) error {
			return s.condition(ctx, s.east, "web", mcsv1beta1.ServiceExportConditionValid, status, reason)
		})
	}
	valid(metav1.ConditionFalse, mcsv1beta1.ServiceExportReasonNoService)
	s.create(t, s.east, service("web", "nobody", http))
	valid(metav1.ConditionTrue, mcsv1beta1.ServiceExportReasonValid)
	awaitImport(t, s, s.west, "web", "east")

	s.remove(t, s.east, service("web", ""))
	valid(metav1.ConditionFalse, mcsv1beta1.ServiceExportReasonNoService)
	awaitNoImport(t, s, "web")

	s.create(t, s.east, headless(service("web", "nobody", http)))
	valid(metav1.ConditionTrue, mcsv1beta1.ServiceExportReasonValid)
	if got := awaitImport(t, s, s.west, "web", "east"); got.Spec.Type != mcsv1beta1.Headless {
		t.Errorf("the ServiceImport is %s, want Headless", got.Spec.Type)
	}
}

// Labels and annotations come from the export's spec, and from nowhere else; what else the Service
// says comes as it is.
func TestImportCarriesWhatIsExported(t *testing.T) {
	s := newScene(t, "fields")
	web, e := full("web", tcp("http", 80, httpPort), udp("dns", 53, udpPort))
	web.Labels, web.Annotations = map[string]string{"of-service": "x"}, map[string]string{"of-service": "x"}
	web.Spec.Ports[0].AppProtocol = new("kubernetes.io/h2c")
	e.Labels, e.Annotations = map[string]string{"of-export": "x"}, map[string]string{"of-export": "x"}
	s.create(t, s.east, web, e)

	for _, c := range s.both() {
		got := awaitImport(t, s, c, "web", "east")
		for _, tt := range []struct {
			what string
			m    map[string]string
		}{{"labels", got.Labels}, {"annotations", got.Annotations}} {
			for key := range maps.Keys(tt.m) {
				if key == "of-service" || key == "of-export" {
					t.Errorf("%s: the import's %s hold %s", c.name, tt.what, key)
				}
			}
		}
		if got.Labels["tier"] != "front" || got.Annotations["owner"] != "shop" {
			t.Errorf("%s: labels %v, annotations %v, want those of the export's spec", c.name, got.Labels, got.Annotations)
		}
		spec := got.Spec
		if spec.SessionAffinity != corev1.ServiceAffinityClientIP || spec.SessionAffinityConfig == nil || *spec.SessionAffinityConfig.ClientIP.TimeoutSeconds != 30 ||
			spec.InternalTrafficPolicy == nil || *spec.InternalTrafficPolicy != corev1.ServiceInternalTrafficPolicyCluster ||
			spec.TrafficDistribution == nil || *spec.TrafficDistribution != corev1.ServiceTrafficDistributionPreferSameZone {
			t.Errorf("%s: affinity, policies: %+v", c.name, spec)
		}
		if len(spec.Ports) != 2 || spec.Ports[0].AppProtocol == nil || *spec.Ports[0].AppProtocol != "kubernetes.io/h2c" || spec.Ports[1].Protocol != corev1.ProtocolUDP {
			t.Errorf("%s: ports %+v", c.name, spec.Ports)
		}
	}
}
