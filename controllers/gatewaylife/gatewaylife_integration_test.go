//go:build integration

package gatewaylife_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/gatewaylife"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

const system = v1alpha1.DefaultNamespace

var (
	clusters = members.Clusters{}
	begin    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func TestMain(m *testing.M) { os.Exit(members.Main(m, clusters)) }

// scene is a cluster with a controller whose clock the test sets.
type scene struct {
	*members.Env
	r      *gatewaylife.Reconciler
	direct *deafReader
	now    time.Time
	events *events.FakeRecorder
}

// deafReader is a Reader that can fail.
type deafReader struct {
	client.Reader
	err error
}

func (d *deafReader) Get(ctx context.Context, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
	if d.err != nil {
		return d.err
	}
	return d.Reader.Get(ctx, key, into, options...)
}

func newScene(t *testing.T) *scene {
	e := members.NewUnconnected(t, clusters[members.HubName], nil)
	s := &scene{Env: e, direct: &deafReader{Reader: e.Own.GetAPIReader()}, now: begin, events: events.NewFakeRecorder(100)}
	s.restart()
	return s
}

// restart makes the controller forget.
func (s *scene) restart() {
	s.r = &gatewaylife.Reconciler{
		Client: s.Own.GetClient(), Direct: s.direct, Events: s.events, Namespace: system, Now: func() time.Time { return s.now },
	}
}

// step reconciles at a time, seconds after the begin, with caches that are up to date.
func (s *scene) step(t *testing.T, seconds float64, name string) time.Duration {
	t.Helper()
	s.now = begin.Add(time.Duration(seconds * float64(time.Second)))
	s.settle(t)
	return s.Step(t, s.r, system, name).RequeueAfter
}

func (s *scene) settle(t *testing.T) {
	t.Helper()
	for _, list := range []client.ObjectList{&v1alpha1.GatewayNodeList{}, &coordinationv1.LeaseList{}} {
		members.Eventually(t, func() error {
			truth, cached := list.DeepCopyObject().(client.ObjectList), list.DeepCopyObject().(client.ObjectList)
			options := []client.ListOption{client.InNamespace(system)}
			if _, leases := list.(*coordinationv1.LeaseList); leases {
				options = append(options, client.MatchingLabels{v1alpha1.LabelGateway: "true"})
			}
			if err := s.List(t.Context(), truth, options...); err != nil {
				return err
			}
			if err := s.Own.GetClient().List(t.Context(), cached, client.InNamespace(system)); err != nil {
				return err
			}
			if have, want := versions(cached), versions(truth); have != want {
				return fmt.Errorf("the cache of %T holds %s, want %s", list, have, want)
			}
			return nil
		})
	}
}

func versions(list client.ObjectList) string {
	items, _ := meta.ExtractList(list)
	all := map[string]string{}
	for _, item := range items {
		o := item.(client.Object)
		all[o.GetName()] = o.GetResourceVersion()
	}
	return fmt.Sprint(all)
}

// node makes a Node, with the gateways' label.
func (s *scene) node(t *testing.T, name string) *corev1.Node {
	t.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.LabelGateway: "true"}}}
	s.Make(t, n)
	return n
}

func (s *scene) gateway(t *testing.T, name string) *v1alpha1.GatewayNode {
	t.Helper()
	g := &v1alpha1.GatewayNode{ObjectMeta: members.Meta(system, name), Spec: v1alpha1.GatewayNodeSpec{
		NodeName: name, PublicKey: strings.Repeat("A", 43) + "=", Endpoints: []v1alpha1.Endpoint{{Address: "192.0.2.1", Port: 51820}},
	}}
	s.Make(t, g)
	return g
}

// get returns the GatewayNode, nil if there is none.
func (s *scene) get(t *testing.T, name string) *v1alpha1.GatewayNode {
	t.Helper()
	g := &v1alpha1.GatewayNode{}
	err := s.Get(t.Context(), client.ObjectKey{Namespace: system, Name: name}, g)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// lease makes the gateway's Lease.
func (s *scene) lease(t *testing.T, name string) *coordinationv1.Lease {
	t.Helper()
	l := &coordinationv1.Lease{ObjectMeta: members.Meta(system, v1alpha1.GatewayLeasePrefix+name)}
	l.Labels = map[string]string{v1alpha1.LabelGateway: "true"}
	l.Spec.RenewTime = &metav1.MicroTime{Time: begin.Add(-time.Hour)}
	s.Make(t, l)
	return l
}

// renew renews the Lease; the gateway's clock goes as it likes.
func (s *scene) renew(t *testing.T, l *coordinationv1.Lease) {
	t.Helper()
	l.Spec.RenewTime = &metav1.MicroTime{Time: l.Spec.RenewTime.Add(time.Millisecond)}
	if err := s.Update(t.Context(), l); err != nil {
		t.Fatal(err)
	}
}

// wantAlive asserts the condition Alive, as "status reason", and the time of the last heartbeat in
// seconds after the begin; a negative one wants none.
func (s *scene) wantAlive(t *testing.T, name, want string, heartbeat float64) {
	t.Helper()
	g := s.get(t, name)
	got := ""
	if c := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionAlive); c != nil {
		got = string(c.Status) + " " + c.Reason
	}
	if got != want {
		t.Errorf("Alive is %q, want %q: %+v", got, want, g.Status.Conditions)
	}
	seconds := -1.0
	if at := g.Status.LastHeartbeatTime; at != nil {
		seconds = at.Sub(begin).Seconds()
	}
	if seconds != heartbeat {
		t.Errorf("the last heartbeat was at %v s, want %v", seconds, heartbeat)
	}
}

func (s *scene) wantEvents(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-s.events.Events:
			if !strings.Contains(got, w) {
				t.Errorf("event %q, want one with %q", got, w)
			}
		default:
			t.Errorf("no event %q", w)
		}
	}
	for len(s.events.Events) > 0 {
		t.Errorf("unwanted event %q", <-s.events.Events)
	}
}

const (
	alive = "True Heartbeat"
	dead  = "False NoHeartbeat"
)

func TestAlive(t *testing.T) {
	s := newScene(t)
	s.node(t, "g1")
	s.gateway(t, "g1")
	s.step(t, 0, "g1")
	s.wantAlive(t, "g1", "", -1)
	lease := s.lease(t, "g1")
	s.step(t, 1, "g1")
	s.wantAlive(t, "g1", "", -1) // it may be a Lease of long ago
	s.renew(t, lease)
	s.step(t, 3, "g1")
	s.wantAlive(t, "g1", alive, 3)

	before := s.get(t, "g1").ResourceVersion
	for at := 6.0; at < 63; at += 3 {
		s.renew(t, lease)
		s.step(t, at, "g1")
	}
	if after := s.get(t, "g1").ResourceVersion; after != before {
		t.Error("written within a minute though nothing changed")
	}
	s.renew(t, lease)
	s.step(t, 63, "g1")
	s.wantAlive(t, "g1", alive, 63)
	s.renew(t, lease)
	s.step(t, 66, "g1")
	s.wantEvents(t)

	if wait := s.step(t, 71, "g1"); wait != 5*time.Second {
		t.Errorf("looks again after %v, want 5 s", wait)
	}
	s.step(t, 75.9, "g1")
	s.wantAlive(t, "g1", alive, 63)
	s.step(t, 76, "g1")
	s.wantAlive(t, "g1", dead, 66)
	s.wantEvents(t, "Warning NoHeartbeat no heartbeat since 2026-03-01T12:01:06Z: check that node g1 is up")
	before = s.get(t, "g1").ResourceVersion
	s.step(t, 200, "g1")
	s.restart()
	for _, at := range []float64{300, 305, 310, 400} {
		s.step(t, at, "g1")
	}
	if after := s.get(t, "g1").ResourceVersion; after != before {
		t.Error("written though it is dead as before")
	}
	s.renew(t, lease)
	s.step(t, 401, "g1")
	s.wantAlive(t, "g1", alive, 401)
	s.wantEvents(t, "Normal Heartbeat")
	s.checkOthers(t)

	if err := s.Delete(t.Context(), lease); err != nil { // as after a roll-back to a version without Leases
		t.Fatal(err)
	}
	s.step(t, 402, "g1")
	s.wantAlive(t, "g1", "Unknown NoLease", 401)
}

// checkOthers: what the gateway says of itself stays, whatever the operator writes.
func (s *scene) checkOthers(t *testing.T) {
	t.Helper()
	g := s.get(t, "g1")
	meta.SetStatusCondition(&g.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReady, Status: "True", Reason: "Ready"})
	g.Status.Lane = new(v1alpha1.Lane)
	if err := s.Status().Update(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	want := g.Status
	s.restart()
	s.step(t, 401.5, "g1")
	if diff := cmp.Diff(want, s.get(t, "g1").Status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

// After an operator's restart, and while the API server does not answer, nobody is declared dead in
// haste.
func TestNobodyDiesUnseen(t *testing.T) {
	s := newScene(t)
	s.node(t, "g1")
	s.gateway(t, "g1")
	lease := s.lease(t, "g1")
	s.step(t, 0, "g1")
	s.renew(t, lease)
	s.step(t, 3, "g1")
	s.wantAlive(t, "g1", alive, 3)
	s.restart()
	s.step(t, 20, "g1")
	s.step(t, 25, "g1")
	s.step(t, 29.9, "g1")
	s.wantAlive(t, "g1", alive, 3)
	s.step(t, 30, "g1")
	s.wantAlive(t, "g1", dead, 3)
	s.renew(t, lease)
	s.step(t, 31, "g1")
	s.wantAlive(t, "g1", alive, 31)

	s.direct.err = errors.New("the API server is down")
	s.now = begin.Add(60 * time.Second)
	if _, err := s.r.Reconcile(t.Context(), request("g1")); !errors.Is(err, s.direct.err) {
		t.Errorf("got %v, want that it cannot ask", err)
	}
	s.direct.err = nil
	s.step(t, 61, "g1") // it is back, and the gateway had no time yet
	s.wantAlive(t, "g1", alive, 31)
	s.renew(t, lease)
	s.step(t, 64, "g1")
	s.wantAlive(t, "g1", alive, 31)
	s.step(t, 70, "g1")
	s.step(t, 73.9, "g1")
	s.wantAlive(t, "g1", alive, 31)
}

// A gateway of an older version has no Lease. It counts as dead when its node does.
func TestOlderVersion(t *testing.T) {
	s := newScene(t)
	node := s.node(t, "g1")
	s.gateway(t, "g1")
	setReady := func(status corev1.ConditionStatus) {
		t.Helper()
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status, LastTransitionTime: metav1.NewTime(begin)}}
		if err := s.Status().Update(t.Context(), node); err != nil {
			t.Fatal(err)
		}
	}
	setReady(corev1.ConditionTrue)
	s.step(t, 1000, "g1")
	s.wantAlive(t, "g1", "", -1)
	setReady(corev1.ConditionUnknown)
	if wait := s.step(t, 50, "g1"); wait != 10*time.Second {
		t.Errorf("looks again after %v, want 10 s", wait)
	}
	s.wantAlive(t, "g1", "", -1)
	s.step(t, 60, "g1")
	s.wantAlive(t, "g1", "False NodeNotReady", -1)
	s.wantEvents(t, "Warning NodeNotReady node g1 is not ready since 2026-03-01T12:00:00Z")
	setReady(corev1.ConditionTrue)
	s.step(t, 61, "g1")
	s.wantAlive(t, "g1", "Unknown NoLease", -1)
	s.wantEvents(t, "Normal NoLease")
}
