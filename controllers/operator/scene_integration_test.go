//go:build integration

package operator_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/operator"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// scene is a clusterset of a test's own: its hub's namespace, and members with a gate before the
// hub and one before their own API server each.
type scene struct {
	hub       *members.Cluster
	namespace string // on the hub, and in members that of the test's Services
	members   map[string]*member
}

// member is a cluster of a scene.
type member struct {
	*members.Cluster
	toHub     *members.Gate
	toOwn     *members.Gate
	ownConfig *rest.Config
	namespace string // of the test's Services
	operator  *running
	lines     *lines // that its operator has logged
}

// running is an operator that runs.
type running struct {
	cancel context.CancelFunc
	done   chan error
}

// newScene makes the members of these names, of index 1 and so on, with the CIDRs
// 10.<index>.0.0/16, and starts their operators.
func newScene(t *testing.T, names ...string) *scene {
	t.Helper()
	s := &scene{hub: clusters[members.HubName], namespace: strings.ToLower(t.Name()), members: map[string]*member{}}
	s.hub.MakeHub(t, s.namespace)
	for i, name := range names {
		s.members[name] = s.join(t, name, i+1)
	}
	for _, m := range s.members {
		m.start(t)
	}
	for _, m := range s.members {
		waitHub(t, m.Cluster, v1alpha1.ReasonConnected)
		m.Dump(t)
	}
	return s
}

func memberSpec(index int) v1alpha1.MemberSpec {
	return v1alpha1.MemberSpec{Index: int32(index), CIDRs: []v1alpha1.CIDR{v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", index))}}
}

func (s *scene) join(t *testing.T, name string, index int) *member {
	t.Helper()
	m := &member{Cluster: clusters[name], namespace: s.namespace}
	m.toHub = members.NewGate(t, s.hub)
	m.toOwn, m.ownConfig = members.NewOwnGate(t, m.Cluster)
	access := s.hub.Approve(t, s.namespace, name, memberSpec(index))
	m.JoinAt(t, name, m.toHub.URL(), m.toHub.Access(access))
	m.MakeNamespace(t, s.namespace, nil)
	t.Cleanup(func() { m.clear(t) })
	return m
}

// clear removes what a test has left in the member, once its operator has ended.
func (m *member) clear(t *testing.T) {
	ctx := context.Background()
	for _, kind := range []client.Object{&mcsv1beta1.ServiceExport{}, &mcsv1beta1.ServiceImport{}, &discoveryv1.EndpointSlice{}} {
		if err := m.DeleteAllOf(ctx, kind, client.InNamespace(m.namespace)); err != nil {
			t.Errorf("clearing %s: %v", m.Name(), err)
		}
	}
	if err := m.DeleteAllOf(ctx, &v1alpha1.GatewayNode{}, client.InNamespace(v1alpha1.DefaultNamespace)); err != nil {
		t.Errorf("clearing %s: %v", m.Name(), err)
	}
	if err := m.DeleteAllOf(ctx, &v1alpha1.RemoteCluster{}); err != nil {
		t.Errorf("clearing %s: %v", m.Name(), err)
	}
	m.forgetLeader(t)
}

// forgetLeader makes the next operator the leader at once, after one that could not say that it
// ends.
func (m *member) forgetLeader(t *testing.T) {
	t.Helper()
	lease := &coordinationv1.Lease{ObjectMeta: members.Meta(v1alpha1.DefaultNamespace, "tombolo-operator")}
	if err := m.Delete(context.Background(), lease); client.IgnoreNotFound(err) != nil {
		t.Errorf("deleting the leader's Lease of %s: %v", m.Name(), err)
	}
}

// start runs the member's operator, through its gates, until stop or the end of the test.
func (m *member) start(t *testing.T) {
	t.Helper()
	m.operator = m.run(t, m.ownConfig, nil)
	t.Cleanup(func() { m.stop(t) })
}

// run runs an operator that reaches the member by that configuration.
func (m *member) run(t *testing.T, config *rest.Config, now func() time.Time) *running {
	t.Helper()
	m.lines = &lines{}
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := operator.New(ctx, operator.Config{
		Registry:  prometheus.NewRegistry(),
		REST:      config,
		Namespace: v1alpha1.DefaultNamespace,
		Logger:    m.lines.logger(t, m.Name()),
		Now:       now,
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &running{cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- mgr.Start(ctx) }()
	return r
}

// stop ends the member's operator; it may be called again.
func (m *member) stop(t *testing.T) {
	t.Helper()
	if m.operator == nil {
		return
	}
	m.operator.cancel()
	if err := <-m.operator.done; err != nil {
		t.Errorf("operator of %s: %v", m.Name(), err)
	}
	m.operator = nil
}

// kill ends the member's operator without a word to anybody, as a power failure does.
func (m *member) kill(t *testing.T) {
	t.Helper()
	dead := members.CrashAt(0)
	m.toHub.Under(dead)
	m.toOwn.Under(dead)
	m.operator.cancel()
	<-m.operator.done // what it could not do any more is as it should be
	m.operator = nil
	m.toHub.Under(nil)
	m.toOwn.Under(nil)
	m.forgetLeader(t)
}

// offer makes a Service with these endpoints in the member, without exporting it.
func (m *member) offer(t *testing.T, name string, addresses ...string) {
	t.Helper()
	m.Make(t, members.Service(m.namespace, name))
	m.Make(t, members.Slice(m.namespace, name+"-1", name, addresses...))
}

// export exports the Service.
func (m *member) export(t *testing.T, name string) *mcsv1beta1.ServiceExport {
	t.Helper()
	e := members.Export(m.namespace, name)
	m.Make(t, e)
	return e
}

// wantAll waits until every member imports that many ready endpoints of the Service.
func (s *scene) wantAll(t *testing.T, name string, endpoints int) {
	t.Helper()
	for _, m := range s.members {
		waitImported(t, m.Cluster, s.namespace, name, endpoints)
	}
}
