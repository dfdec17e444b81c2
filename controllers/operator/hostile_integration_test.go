//go:build integration

package operator_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/operator"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// hostile is the admin of a member, who has its credential for the hub and writes what he likes.
type hostile struct {
	client.Client
	scene *scene
	made  *atomic.Int64 // changes of a flood
}

func (s *scene) hostile(t *testing.T, name string, spec v1alpha1.MemberSpec) hostile {
	t.Helper()
	access := s.hub.Approve(t, s.namespace, name, spec)
	admin := s.hub.RESTConfig()
	config := rest.AnonymousClientConfig(admin)
	config.BearerToken, config.QPS = string(access["token"]), -1
	c, err := client.New(config, client.Options{Scheme: operator.NewScheme()})
	if err != nil {
		t.Fatal(err)
	}
	return hostile{c, s, &atomic.Int64{}}
}

// exportOf is an export that the hostile member says is the oldest there is.
func (h hostile) exportOf(namespace, name string) *v1alpha1.ExportedService {
	export := mcs.ExportedServiceFor("west", h.scene.namespace, members.Service(namespace, name), members.Export(namespace, name))
	export.Spec.ExportedAt, export.Spec.Type = metav1.Unix(1, 0), mcsv1beta1.Headless
	export.Spec.Ports = []mcsv1beta1.ServicePort{{Name: "http", Protocol: "TCP", Port: 666}}
	return export
}

func (h hostile) gateway(name string, endpoints ...v1alpha1.Endpoint) *v1alpha1.GatewayNode {
	return &v1alpha1.GatewayNode{
		ObjectMeta: metav1.ObjectMeta{Namespace: h.scene.namespace, Name: "west." + name, Labels: map[string]string{v1alpha1.LabelSourceCluster: "west"}},
		Spec:       v1alpha1.GatewayNodeSpec{NodeName: name, PublicKey: members.PublicKey(name), Endpoints: endpoints},
	}
}

// What a hostile member writes with its own credential harms no other member: neither what they
// export to each other, nor what they send anywhere.
func TestHostileMember(t *testing.T) {
	s := newScene(t, "east", "north")
	east, north := s.members["east"], s.members["north"]
	east.offer(t, "web", "10.1.0.1")
	east.export(t, "web")
	s.wantAll(t, "web", 1)
	before := map[string]map[string]string{"east": east.vips(t), "north": north.vips(t)}
	w := s.witness(t)

	h := s.hostile(t, "west", v1alpha1.MemberSpec{
		Index: 3, CIDRs: []v1alpha1.CIDR{"10.3.0.0/16"}, EndpointCIDRs: []v1alpha1.CIDR{"192.0.2.0/24", "10.0.0.0/8"},
		Namespaces: []v1alpha1.NamespacePattern{v1alpha1.NamespacePattern(s.namespace)},
	})
	s.hostileMemberOfWrongCIDRs(t)
	s.wantRemote(t, "west", func(rc *v1alpha1.RemoteCluster) error {
		if len(rc.Spec.CIDRs) != 1 {
			return fmt.Errorf("west is not in use yet: %+v", rc.Spec)
		}
		return nil
	})

	// It is the oldest of all, in its own words.
	h.make(t, h.exportOf(s.namespace, "web"))
	// From where it may not export, the hub takes nothing; importers take nothing, whatever the hub takes.
	for _, namespace := range []string{"kube-system", "default", "theirs"} {
		if err := h.Create(t.Context(), h.exportOf(namespace, "web")); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "Member.spec.namespaces") {
			t.Errorf("exporting from %s: %v", namespace, err)
		}
		s.hub.Make(t, h.exportOf(namespace, "web")) // as a hub without the policy
	}
	gateway := h.gateway("gw", v1alpha1.Endpoint{Address: "192.0.2.9", Port: 51820}, v1alpha1.Endpoint{Address: "203.0.113.9", Port: 53},
		v1alpha1.Endpoint{Address: "169.254.169.254", Port: 80}, v1alpha1.Endpoint{Address: "127.0.0.1", Port: 6443}, v1alpha1.Endpoint{Address: "10.96.0.1", Port: 443})
	h.make(t, gateway)
	gateway.Status.Lane = new(v1alpha1.Lane(0))
	if err := h.Status().Update(t.Context(), gateway); err != nil {
		t.Fatal(err)
	}

	s.wantRemote(t, "west", func(rc *v1alpha1.RemoteCluster) error {
		content := meta.FindStatusCondition(rc.Status.Conditions, v1alpha1.ConditionContentAccepted)
		switch {
		case len(rc.Spec.Gateways) != 1 || len(rc.Spec.Gateways[0].Endpoints) != 1 || rc.Spec.Gateways[0].Endpoints[0].Address != "192.0.2.9":
			return fmt.Errorf("gateways are %+v", rc.Spec.Gateways)
		case content == nil || content.Status != metav1.ConditionFalse || !strings.Contains(content.Message, "Member.spec.namespaces"):
			return fmt.Errorf("ContentAccepted is %+v", content)
		}
		return nil
	})
	for name, m := range s.members {
		members.Eventually(t, func() error {
			got := &mcsv1beta1.ServiceImport{}
			if err := m.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: "web"}, got); err != nil {
				return err
			}
			if !slices.Equal(clusterset.Exporters(got), []string{"east", "west"}) {
				return fmt.Errorf("%s imports from %v", name, clusterset.Exporters(got))
			}
			if got.Spec.Type != mcsv1beta1.ClusterSetIP || len(got.Spec.Ports) != 1 || got.Spec.Ports[0].Port != 80 {
				t.Errorf("%s: the import became %+v", name, got.Spec)
			}
			return nil
		})
		if got := m.vips(t); fmt.Sprint(got) != fmt.Sprint(before[name]) {
			t.Errorf("%s: imports are %v, were %v", name, got, before[name])
		}
		list := &mcsv1beta1.ServiceImportList{}
		if err := m.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		for _, i := range list.Items {
			if i.Namespace != s.namespace {
				t.Errorf("%s: imported into %s", name, i.Namespace)
			}
		}
	}
	w.none(t, "while a member is hostile")
	s.endOfHostility(t)
}

// endOfHostility removes what the hub has of the hostile member: nobody else's things go with it.
func (s *scene) endOfHostility(t *testing.T) {
	t.Helper()
	for _, kind := range []client.Object{&v1alpha1.ExportedService{}, &v1alpha1.GatewayNode{}, &discoveryv1.EndpointSlice{}} {
		if err := s.hub.DeleteAllOf(t.Context(), kind, client.InNamespace(s.namespace), client.MatchingLabels{v1alpha1.LabelSourceCluster: "west"}); err != nil {
			t.Fatal(err)
		}
	}
	s.wantAll(t, "web", 1)
}

// hostileMemberOfWrongCIDRs is an admin's Member that would draw traffic to the cloud's metadata.
func (s *scene) hostileMemberOfWrongCIDRs(t *testing.T) {
	t.Helper()
	s.hub.Make(t, &v1alpha1.Member{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "wide"},
		Spec: v1alpha1.MemberSpec{Index: 9, CIDRs: []v1alpha1.CIDR{"169.254.0.0/16", "10.9.0.0/16"}}})
	s.wantRemote(t, "wide", func(rc *v1alpha1.RemoteCluster) error {
		accepted := meta.FindStatusCondition(rc.Status.Conditions, v1alpha1.ConditionAccepted)
		if len(rc.Spec.CIDRs) != 0 || accepted == nil || accepted.Reason != v1alpha1.ReasonReservedCIDR {
			return fmt.Errorf("RemoteCluster wide is %+v, %+v", rc.Spec, accepted)
		}
		return nil
	})
}

// wantRemote waits until every member's RemoteCluster of that name is as wanted.
func (s *scene) wantRemote(t *testing.T, name string, wanted func(*v1alpha1.RemoteCluster) error) {
	t.Helper()
	for _, m := range s.members {
		members.Eventually(t, func() error {
			rc := &v1alpha1.RemoteCluster{}
			if err := m.Get(t.Context(), client.ObjectKey{Name: name}, rc); err != nil {
				return err
			}
			return wanted(rc)
		})
	}
}

// make creates the object as the hostile member.
func (h hostile) make(t *testing.T, object client.Object) {
	t.Helper()
	if err := h.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}
