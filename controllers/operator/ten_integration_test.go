//go:build integration

package operator_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/mcs/pack"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// guest is a member without an API server of its own: the test publishes for it what its operator
// would.
type guest struct {
	scene *scene
	id    v1alpha1.ClusterID
	index int
	says  []string // names on the hub that its heartbeat speaks of
}

// invite makes the guest a member.
func (s *scene) invite(t *testing.T, name string, index int) *guest {
	t.Helper()
	s.hub.Make(t, &v1alpha1.Member{ObjectMeta: members.Meta(s.namespace, name), Spec: memberSpec(index)})
	return &guest{scene: s, id: v1alpha1.ClusterID(name), index: index}
}

// publish publishes a Service with that port and one endpoint, and returns its objects.
func (g *guest) publish(t *testing.T, name string, port int32) []client.Object {
	t.Helper()
	service := members.Service(g.scene.namespace, name)
	service.Spec.Ports[0].Port = port
	service.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	export := members.Export(g.scene.namespace, name)
	export.CreationTimestamp = metav1.Now()
	publisher := pack.Publisher{Cluster: g.id, HubNamespace: g.scene.namespace, CIDRs: []netip.Prefix{
		netip.MustParsePrefix(string(memberSpec(g.index).CIDRs[0]))}}
	local := members.Slice(g.scene.namespace, name+"-1", name, fmt.Sprintf("10.%d.0.1", g.index))
	packing := publisher.Pack(service, publisher.Offer(service, []discoveryv1.EndpointSlice{*local}), nil)
	exported := mcs.ExportedServiceFor(g.id, g.scene.namespace, service, export)
	exported.Spec.SliceSet = clusterset.SliceSet(packing.After(nil))
	objects := []client.Object{exported}
	for i := range packing.First.Puts {
		objects = append(objects, &packing.First.Puts[i])
	}
	for _, o := range objects {
		g.scene.hub.Make(t, o)
	}
	g.says = append(g.says, exported.Name)
	return objects
}

// withdraw withdraws what publish returned, and says so.
func (g *guest) withdraw(t *testing.T, objects []client.Object) {
	t.Helper()
	for _, o := range objects {
		if err := g.scene.hub.Delete(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	left := g.says[:0]
	for _, name := range g.says {
		if name != objects[0].GetName() {
			left = append(left, name)
		}
	}
	g.says = left
	g.renew(t)
}

// renew renews the guest's Lease.
func (g *guest) renew(t *testing.T) {
	t.Helper()
	lease := &coordinationv1.Lease{ObjectMeta: members.Meta(g.scene.namespace, clusterset.LeaseName(g.id))}
	missing := g.scene.hub.Get(t.Context(), client.ObjectKeyFromObject(lease), lease)
	lease.Labels = map[string]string{v1alpha1.LabelSourceCluster: string(g.id)}
	lease.Annotations = clusterset.HeartbeatAnnotations(g.says)
	lease.Spec.RenewTime = &metav1.MicroTime{Time: time.Now()}
	if missing != nil {
		g.scene.hub.Make(t, lease)
		return
	}
	if err := g.scene.hub.Update(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
}

// wantConflict waits until the condition Conflict of every member's ServiceExport has that reason,
// and a message with the text.
func (s *scene) wantConflict(t *testing.T, name, reason, text string) {
	t.Helper()
	for _, m := range s.members {
		members.Eventually(t, func() error {
			export := &mcsv1beta1.ServiceExport{}
			if err := m.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, export); err != nil {
				return err
			}
			c := meta.FindStatusCondition(export.Status.Conditions, string(mcsv1beta1.ServiceExportConditionConflict))
			if c == nil || c.Reason != reason || !strings.Contains(c.Message, text) {
				return fmt.Errorf("%s: Conflict is %+v, want %s with %q", m.Name(), c, reason, text)
			}
			return nil
		})
	}
}

// Ten members export one Service, and one of their own each: all is imported everywhere, the
// conflict counts all ten, and whoever leaves takes just what is its own along.
func TestTenMembers(t *testing.T) {
	s := newScene(t, "east", "west", "north")
	i := 0
	for _, name := range []string{"east", "west", "north"} {
		i++
		s.members[name].offer(t, "web", fmt.Sprintf("10.%d.0.1", i))
		s.members[name].export(t, "web")
	}
	guests, webs := map[int]*guest{}, map[int][]client.Object{}
	for n := 4; n <= 10; n++ {
		guests[n] = s.invite(t, fmt.Sprintf("guest-%d", n), n)
		port := int32(80)
		if n > 8 {
			port = 81
		}
		webs[n] = guests[n].publish(t, "web", port)
		guests[n].publish(t, fmt.Sprintf("own-%d", n), 80)
		guests[n].renew(t)
	}
	s.wantAll(t, "web", 10)
	for n := range guests {
		s.wantAll(t, fmt.Sprintf("own-%d", n), 1)
	}
	s.wantConflict(t, "web", string(mcsv1beta1.ServiceExportReasonPortConflict), "2/10 clusters disagree")

	for _, g := range guests {
		g.renew(t) // believed is what is renewed before their eyes
	}
	guests[4].withdraw(t, webs[4])
	s.wantAll(t, "web", 9)
	s.wantAll(t, "own-4", 1)
	s.remove(t, "guest-9", true)
	s.wantAll(t, "web", 8)
	s.wantAll(t, "own-9", 0)
	s.wantConflict(t, "web", string(mcsv1beta1.ServiceExportReasonPortConflict), "1/8 clusters disagree")
	guests[10].withdraw(t, webs[10])
	s.wantAll(t, "web", 7)
	s.wantConflict(t, "web", string(mcsv1beta1.ServiceExportReasonNoConflicts), "agree")
	for n := range guests {
		want := 1
		if n == 9 {
			want = 0
		}
		s.wantAll(t, fmt.Sprintf("own-%d", n), want)
	}
}
