//go:build integration

package remotecluster_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/inuse"
	"github.com/tombolo-net/tombolo/controllers/internal/skipped"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/controllers/remotecluster"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

var clusters = members.Clusters{}

func TestMain(m *testing.M) { os.Exit(members.Main(m, clusters)) }

func newEnv(t *testing.T) (*members.Env, *remotecluster.Reconciler) {
	t.Helper()
	c := clusters[members.HubName]
	e := members.NewEnv(t, c, c, nil)
	t.Cleanup(func() {
		if err := c.DeleteAllOf(context.Background(), &v1alpha1.RemoteCluster{}); err != nil {
			t.Log(err)
		}
	})
	return e, &remotecluster.Reconciler{Client: e.Own.GetClient(), Hub: e.Conn, Namespace: v1alpha1.DefaultNamespace,
		InUse: inuse.Reader{Cached: e.Own.GetClient(), Direct: e.Own.GetAPIReader()}, Skipped: skipped.New(), Events: events.NewFakeRecorder(100)}
}

func get(t *testing.T, e *members.Env, name string) *v1alpha1.RemoteCluster {
	t.Helper()
	found := &v1alpha1.RemoteCluster{}
	if err := e.Get(t.Context(), client.ObjectKey{Name: name}, found); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		t.Fatal(err)
	}
	return found
}

func wantCondition(t *testing.T, rc *v1alpha1.RemoteCluster, kind, status, reason string) string {
	t.Helper()
	if rc == nil {
		t.Fatal("there is no RemoteCluster")
	}
	c := meta.FindStatusCondition(rc.Status.Conditions, kind)
	if c == nil || string(c.Status) != status || c.Reason != reason {
		t.Fatalf("RemoteCluster %s: condition %s is %+v, want %s %s", rc.Name, kind, c, status, reason)
	}
	return c.Message
}

func TestOverlappingMembers(t *testing.T) {
	e, r := newEnv(t)
	e.Hub.Member(t, "north", 3, "10.3.0.0/16")
	e.Step(t, r, "", "north")
	wantCondition(t, get(t, e, "north"), "Accepted", "True", "Accepted")

	a := e.Hub.Member(t, "a-newcomer", 4, "10.3.128.0/17") // the lower name, but north is in use
	e.Step(t, r, "", "a-newcomer")
	refused := get(t, e, "a-newcomer")
	message := wantCondition(t, refused, "Accepted", "False", "CIDROverlap")
	for _, want := range []string{"a-newcomer", "north", "10.3.128.0/17", "10.3.0.0/16", "Member.spec.cidrs"} {
		if !strings.Contains(message, want) {
			t.Errorf("the message lacks %s: %s", want, message)
		}
	}
	if len(refused.Spec.CIDRs) != 0 || len(refused.Spec.Gateways) != 0 {
		t.Errorf("a refused member is in use: %+v", refused.Spec)
	}
	e.Step(t, r, "", "north")
	if north := get(t, e, "north"); len(north.Spec.CIDRs) != 1 || !meta.IsStatusConditionTrue(north.Status.Conditions, "Accepted") {
		t.Errorf("what was in use changed: %+v", north)
	}

	a.Spec.CIDRs = []v1alpha1.CIDR{"10.4.0.0/16"}
	if err := e.Hub.Update(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "", "a-newcomer")
	healed := get(t, e, "a-newcomer")
	wantCondition(t, healed, "Accepted", "True", "Accepted")
	if len(healed.Spec.CIDRs) != 1 {
		t.Errorf("it did not heal: %+v", healed.Spec)
	}
}

func TestMemberOverlapsThisCluster(t *testing.T) {
	e, r := newEnv(t)
	e.Hub.Member(t, "same-pods", 5, "10.1.0.0/24")
	e.Hub.Member(t, "same-vips", 6, "244.0.0.0/24")
	e.Hub.Member(t, "same-index", 1, "10.7.0.0/24")
	for _, tt := range []struct {
		name   string
		reason string
	}{{"same-pods", "CIDROverlap"}, {"same-vips", "CIDROverlap"}, {"same-index", "IndexInUse"}} {
		e.Step(t, r, "", tt.name)
		wantCondition(t, get(t, e, tt.name), "Accepted", "False", tt.reason)
	}
}

// What a Member may never have is refused. A cluster that was in use with it before stays, and its
// condition says what is wrong. What this cluster's admin does not accept is not used at all.
func TestForbiddenCIDRs(t *testing.T) {
	e, r := newEnv(t)
	for name, cidr := range map[string]v1alpha1.CIDR{"metadata": "169.254.169.254/32", "everything": "0.0.0.0/0"} {
		e.Hub.Member(t, name, 10+int32(len(name)), cidr)
		e.Step(t, r, "", name)
		rc := get(t, e, name)
		wantCondition(t, rc, "Accepted", "False", "ReservedCIDR")
		if len(rc.Spec.CIDRs) != 0 {
			t.Errorf("%s is in use: %+v", name, rc.Spec)
		}
	}
	e.Make(t, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: "more-servers", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}},
		AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"203.0.113.5"}}},
	})
	e.Hub.Member(t, "servers", 9, "203.0.113.0/24")
	e.Step(t, r, "", "servers")
	if message := wantCondition(t, get(t, e, "servers"), "Accepted", "False", "CIDROverlap"); !strings.Contains(message, "the API server") {
		t.Errorf("the message does not name the API server: %s", message)
	}
	e.Make(t, &v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: "old"}, Spec: v1alpha1.RemoteClusterSpec{Index: 8, CIDRs: []v1alpha1.CIDR{"169.254.8.0/24"}}})
	e.Hub.Member(t, "old", 8, "169.254.8.0/24")
	e.Step(t, r, "", "old")
	old := get(t, e, "old")
	wantCondition(t, old, "Accepted", "False", "ReservedCIDR")
	if len(old.Spec.CIDRs) != 1 {
		t.Errorf("what was in use is gone: %+v", old.Spec)
	}

	e.Hub.Member(t, "north", 3, "10.3.0.0/16")
	e.Step(t, r, "", "north")
	wantCondition(t, get(t, e, "north"), "Accepted", "True", "Accepted")
	set := &v1alpha1.ClusterSet{}
	if err := e.Get(t.Context(), client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
		t.Fatal(err)
	}
	set.Spec.AcceptCIDRs = []v1alpha1.CIDR{"10.64.0.0/10"}
	if err := e.Update(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "", "north")
	north := get(t, e, "north")
	if message := wantCondition(t, north, "Accepted", "False", "CIDRNotAccepted"); !strings.Contains(message, "10.3.0.0/16") || len(north.Spec.CIDRs) != 0 {
		t.Errorf("it is %+v: %s", north.Spec, message)
	}
}

func TestMemberAbsentAndRemoved(t *testing.T) {
	e, r := newEnv(t)
	west := e.Hub.Member(t, "west", 2, "10.2.0.0/16")
	e.Step(t, r, "", "west")
	if err := e.Hub.Delete(t.Context(), west); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "", "west")
	kept := get(t, e, "west")
	message := wantCondition(t, kept, "Accepted", "Unknown", "NotAMember")
	for _, part := range []string{"spec.index 2", "10.2.0.0/16", "spec.removed: true"} {
		if !strings.Contains(message, part) {
			t.Errorf("the message does not say how to end it: it lacks %q: %s", part, message)
		}
	}
	wantEvent(t, r, "Warning NotAMember the hub has no Member")
	e.Step(t, r, "", "west")
	wantEvent(t, r, "")
	if len(kept.Spec.CIDRs) != 1 {
		t.Errorf("an absent Member took the CIDRs away: %+v", kept.Spec)
	}
	west.ResourceVersion = ""
	west.Spec.Removed = true
	e.Hub.Make(t, west)
	e.Step(t, r, "", "west")
	if got := get(t, e, "west"); got != nil {
		t.Errorf("a removed member is still there: %+v", got)
	}
}

// gateway makes a GatewayNode on the hub.
func gateway(t *testing.T, e *members.Env, cluster, node string, lane v1alpha1.Lane, tunnel v1alpha1.IPAddress) {
	t.Helper()
	g := &v1alpha1.GatewayNode{
		ObjectMeta: members.Meta(v1alpha1.DefaultHubNamespace, clusterset.HubName(v1alpha1.ClusterID(cluster), "tombolo-system", node)),
		Spec: v1alpha1.GatewayNodeSpec{
			NodeName:        node,
			PublicKey:       members.PublicKey(cluster + "/" + node),
			Endpoints:       []v1alpha1.Endpoint{{Address: "192.0.2.1", Port: 51820}},
			TunnelAddresses: []v1alpha1.IPAddress{tunnel},
		},
	}
	g.Labels = map[string]string{v1alpha1.LabelSourceCluster: cluster}
	e.Hub.Make(t, g)
	g.Status.Lane = ptr.To(lane)
	if err := e.Hub.Status().Update(t.Context(), g); err != nil {
		t.Fatal(err)
	}
}

func TestGatewaysAndLinks(t *testing.T) {
	e, r := newEnv(t)
	e.Hub.Member(t, "west", 2, "10.2.0.0/16")
	e.Step(t, r, "", "west")
	wantCondition(t, get(t, e, "west"), "Reachable", "False", "NoGateways")

	gateway(t, e, "west", "good", 1, "245.0.32.1") // block 2 of 245.0.0.0/8 is 245.0.32.0/20
	gateway(t, e, "west", "bad", 0, "245.0.16.0")
	gateway(t, e, "north", "other", 0, "245.0.32.2")
	e.Step(t, r, "", "west")
	got := get(t, e, "west")
	if len(got.Spec.Gateways) != 1 || got.Spec.Gateways[0].Name != "good" || got.Spec.Gateways[0].Lane != 1 {
		t.Fatalf("gateways are %+v", got.Spec.Gateways)
	}
	message := wantCondition(t, got, "Accepted", "False", "InvalidTunnelAddress")
	if !strings.Contains(message, "bad") || !strings.Contains(message, "245.0.16.0") {
		t.Errorf("the message does not name the gateway: %s", message)
	}
	wantCondition(t, got, "Reachable", "False", "NoLink")

	e.Make(t, localGateway("east-1"))
	got.Status.Links = []v1alpha1.GatewayLinks{{Gateway: "gone", Links: []v1alpha1.Link{{RemoteGateway: "good", State: v1alpha1.LinkUp}}}}
	if err := e.Status().Update(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "", "west")
	got = get(t, e, "west")
	wantCondition(t, got, "Reachable", "False", "NoLink")
	wantEvent(t, r, "")
	if len(got.Status.Links) != 0 || got.Status.LinksUp != "0/0" {
		t.Errorf("the status still has links of a gateway that is gone: %+v", got.Status)
	}

	got.Status.Links = []v1alpha1.GatewayLinks{{Gateway: "east-1", Links: []v1alpha1.Link{{RemoteGateway: "good", State: v1alpha1.LinkUp}}}}
	if err := e.Status().Update(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "", "west")
	got = get(t, e, "west")
	wantCondition(t, got, "Reachable", "True", "LinkUp")
	if len(got.Status.Links) != 1 {
		t.Errorf("the gateways' links were lost: %+v", got.Status)
	}
	wantEvent(t, r, "Normal Reachable 1 of 1 links are up")
	e.Step(t, r, "", "west")
	if again := get(t, e, "west"); again.ResourceVersion != got.ResourceVersion {
		t.Error("written though nothing changed")
	}
	wantEvent(t, r, "")

	got.Status.Links[0].Links[0].Flapping, got.Status.Links[0].Links[0].Message = true, "it goes down again and again"
	if err := e.Status().Update(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "", "west")
	got = get(t, e, "west")
	if c := meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionReachable); !strings.HasSuffix(c.Message, "links are up; link "+
		got.Status.Links[0].Gateway+" to "+got.Status.Links[0].Links[0].RemoteGateway+" does not stay up: it goes down again and again") {
		t.Errorf("a link flaps: %q", c.Message)
	}

	got.Status.Links[0].Links[0].State = v1alpha1.LinkDown
	if err := e.Status().Update(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "", "west")
	wantCondition(t, get(t, e, "west"), "Reachable", "False", "NoLink")
	wantEvent(t, r, "Warning Unreachable none of 1 links is up")
	wantEvent(t, r, "")
}

// A public key stays with the cluster that uses it, and nobody takes one of this cluster's gateways.
// One that gives no secret is refused.
func TestKeys(t *testing.T) {
	e, r := newEnv(t)
	for i, name := range []string{"attacker", "victim"} { // the attacker is the older one
		e.Hub.Member(t, name, int32(i+2), v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", i+2)))
		e.Step(t, r, "", name)
	}
	e.Make(t, localGateway("east-1"))
	gateway(t, e, "victim", "v", 0, "245.0.48.0")
	e.Step(t, r, "", "victim")
	gateway(t, e, "attacker", "honest", 0, "245.0.32.0")
	edit := func(node, key string) {
		t.Helper()
		g := &v1alpha1.GatewayNode{}
		name := client.ObjectKey{Namespace: v1alpha1.DefaultHubNamespace, Name: clusterset.HubName("attacker", "tombolo-system", node)}
		if err := e.Hub.Get(t.Context(), name, g); err != nil {
			t.Fatal(err)
		}
		g.Spec.PublicKey = key
		editHub(t, e, g)
	}
	for i, tt := range []struct{ key, want string }{
		{members.PublicKey("victim/v"), "is that of gateway v of cluster victim"}, {members.PublicKey("east-1"), "is that of gateway east-1 of this cluster"},
		{base64.StdEncoding.EncodeToString(append([]byte{1}, make([]byte, 31)...)), "low order"},
	} {
		node := fmt.Sprint("thief", i)
		gateway(t, e, "attacker", node, v1alpha1.Lane(i+1), v1alpha1.IPAddress(fmt.Sprint("245.0.32.", i+1)))
		edit(node, tt.key)
		e.Step(t, r, "", "attacker")
		got := get(t, e, "attacker")
		if len(got.Spec.Gateways) != i+1 || got.Spec.Gateways[0].Name != "honest" {
			t.Errorf("%s: gateways are %+v", tt.want, got.Spec.Gateways)
		}
		if message := wantCondition(t, got, "ContentAccepted", "False", "Skipped"); !strings.Contains(message, tt.want) {
			t.Errorf("the message is %q, want %q in it", message, tt.want)
		}
		edit(node, members.PublicKey(node))
		e.Step(t, r, "", "attacker")
		if got := get(t, e, "attacker"); len(got.Spec.Gateways) != i+2 {
			t.Errorf("with a key of its own: gateways are %+v", got.Spec.Gateways)
		}
	}
	edit("thief0", members.PublicKey("victim/v"))
	e.Step(t, r, "", "attacker")
	e.Step(t, r, "", "victim")
	if got := get(t, e, "victim"); len(got.Spec.Gateways) != 1 || got.Spec.Gateways[0].PublicKey != members.PublicKey("victim/v") {
		t.Errorf("the victim's gateways are %+v", got.Spec.Gateways)
	}
}

func editHub(t *testing.T, e *members.Env, o client.Object) {
	t.Helper()
	if err := e.Hub.Update(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// A dead gateway's links do not count. Without a live one nothing is reachable, whatever links said.
func TestReachableByLiveGateways(t *testing.T) {
	e, r := newEnv(t)
	e.Hub.Member(t, "west", 2, "10.2.0.0/16")
	gateway(t, e, "west", "good", 1, "245.0.32.1")
	e.Step(t, r, "", "west")
	rc := get(t, e, "west")
	for i, name := range []string{"east-1", "east-2"} {
		e.Make(t, localGateway(name))
		rc.Status.Links = append(rc.Status.Links, v1alpha1.GatewayLinks{Gateway: name, Links: []v1alpha1.Link{
			{RemoteGateway: "good", State: v1alpha1.LinkUp, RTTMilliseconds: int32(20 + i), LossPercent: int32(i)},
			{RemoteGateway: "other", State: v1alpha1.LinkDown},
		}})
	}
	if err := e.Status().Update(t.Context(), rc); err != nil {
		t.Fatal(err)
	}
	step := func(reachable, reason, links string, rtt int32, loss *int32) {
		t.Helper()
		e.Step(t, r, "", "west")
		got := get(t, e, "west")
		wantCondition(t, got, "Reachable", reachable, reason)
		if s := got.Status; s.LinksUp != links || s.RTTMilliseconds != rtt || !cmp.Equal(s.LossPercent, loss) {
			t.Errorf("links %s, RTT %d, loss %v; want %s, %d, %v", s.LinksUp, s.RTTMilliseconds, s.LossPercent, links, rtt, loss)
		}
	}
	step("True", "LinkUp", "2/4", 20, new(int32(1)))
	setAlive(t, e, "east-1", "False")
	step("True", "LinkUp", "1/2", 21, new(int32(1)))
	setAlive(t, e, "east-2", "False")
	step("False", "NoLiveGateway", "0/0", 0, nil)
	setAlive(t, e, "east-1", "True")
	step("True", "LinkUp", "1/2", 20, new(int32(0)))
}

func localGateway(name string) *v1alpha1.GatewayNode {
	return &v1alpha1.GatewayNode{
		ObjectMeta: members.Meta(v1alpha1.DefaultNamespace, name),
		Spec: v1alpha1.GatewayNodeSpec{NodeName: name, PublicKey: members.PublicKey(name),
			Endpoints: []v1alpha1.Endpoint{{Address: "192.0.2.2", Port: 51820}}},
	}
}

// setAlive writes the condition Alive, and waits until the cache has it.
func setAlive(t *testing.T, e *members.Env, name string, status metav1.ConditionStatus) {
	t.Helper()
	key := client.ObjectKey{Namespace: v1alpha1.DefaultNamespace, Name: name}
	g := &v1alpha1.GatewayNode{}
	if err := e.Get(t.Context(), key, g); err != nil {
		t.Fatal(err)
	}
	meta.SetStatusCondition(&g.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionAlive, Status: status, Reason: "Test"})
	if err := e.Status().Update(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	members.Eventually(t, func() error {
		cached := &v1alpha1.GatewayNode{}
		if err := e.Own.GetClient().Get(t.Context(), key, cached); err != nil {
			return err
		}
		if cached.ResourceVersion != g.ResourceVersion {
			return fmt.Errorf("the cache has version %s of %s, want %s", cached.ResourceVersion, name, g.ResourceVersion)
		}
		return nil
	})
}

// wantEvent takes the oldest event, which is to begin like that; empty: there is to be none.
func wantEvent(t *testing.T, r *remotecluster.Reconciler, want string) {
	t.Helper()
	select {
	case got := <-r.Events.(*events.FakeRecorder).Events:
		if want == "" || !strings.HasPrefix(got, want) {
			t.Errorf("event %q, want %q", got, want)
		}
	default:
		if want != "" {
			t.Errorf("no event, want %q", want)
		}
	}
}

func TestContentAccepted(t *testing.T) {
	e, r := newEnv(t)
	e.Hub.Member(t, "west", 2, "10.2.0.0/16")
	e.Step(t, r, "", "west")
	if c := meta.FindStatusCondition(get(t, e, "west").Status.Conditions, "ContentAccepted"); c != nil {
		t.Errorf("judged before anything was looked at: %+v", c)
	}

	gateway(t, e, "west", "good", 1, "245.0.32.1")
	gateway(t, e, "west", "loopback", 2, "245.0.32.2")
	odd := &v1alpha1.GatewayNode{}
	key := client.ObjectKey{Namespace: v1alpha1.DefaultHubNamespace, Name: clusterset.HubName("west", "tombolo-system", "loopback")}
	if err := e.Hub.Get(t.Context(), key, odd); err != nil {
		t.Fatal(err)
	}
	odd.Spec.Endpoints[0].Address = "127.0.0.1"
	if err := e.Hub.Update(t.Context(), odd); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		r.Skipped.Note("west", fmt.Sprint("EndpointSlice west.", i), screen.Skipped{Reason: screen.SkippedAddress, Message: fmt.Sprint("slice ", i), Count: 1})
	}
	e.Step(t, r, "", "west")
	got := get(t, e, "west")
	if len(got.Spec.Gateways) != 1 || got.Spec.Gateways[0].Name != "good" {
		t.Errorf("gateways are %+v", got.Spec.Gateways)
	}
	message := wantCondition(t, got, "ContentAccepted", "False", "Skipped")
	for _, want := range []string{"6 objects", "slice 0", "slice 1", "and 3 more", "tombolo_import_skipped_total"} {
		if !strings.Contains(message, want) {
			t.Errorf("the message lacks %q: %s", want, message)
		}
	}
	for i := range 5 {
		r.Skipped.Note("west", fmt.Sprint("EndpointSlice west.", i))
	}
	e.Step(t, r, "", "west")
	message = wantCondition(t, get(t, e, "west"), "ContentAccepted", "False", "Skipped")
	for _, want := range []string{key.Name, `"127.0.0.1"`, "loopback address"} {
		if !strings.Contains(message, want) {
			t.Errorf("the message lacks %q: %s", want, message)
		}
	}

	odd.Spec.Endpoints[0].Address = "192.0.2.2"
	if err := e.Hub.Update(t.Context(), odd); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "", "west")
	healed := get(t, e, "west")
	wantCondition(t, healed, "ContentAccepted", "True", "Accepted")
	if len(healed.Spec.Gateways) != 2 {
		t.Errorf("gateways are %+v", healed.Spec.Gateways)
	}
}
