//go:build integration

package approval_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/approval"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

var clusters = members.Clusters{}

func TestMain(m *testing.M) { os.Exit(members.Main(m, clusters)) }

// env is a member whose Member approves 10.1.0.0/16.
type env struct {
	*members.Env
	r      *approval.Reconciler
	events *events.FakeRecorder
}

func newEnv(t *testing.T, namespace string) *env {
	t.Helper()
	c := clusters[members.HubName]
	e := &env{Env: members.NewEnv(t, c, c, nil), events: events.NewFakeRecorder(100)}
	e.r = &approval.Reconciler{Client: e.Own.GetClient(), Hub: e.Conn, Events: e.events}
	e.MakeNamespace(t, namespace, nil)
	return e
}

func (e *env) node(t *testing.T, name, internalIP string, podCIDRs ...string) {
	t.Helper()
	node := &corev1.Node{ObjectMeta: members.Meta("", name)}
	if len(podCIDRs) > 0 {
		node.Spec = corev1.NodeSpec{PodCIDR: podCIDRs[0], PodCIDRs: podCIDRs}
	}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: internalIP}}
	e.Make(t, node)
}

// pods makes a slice of pods of the Service.
func (e *env) pods(t *testing.T, namespace, service string, addresses ...string) {
	t.Helper()
	s := members.Slice(namespace, service+"-1", service, addresses...)
	if strings.Contains(addresses[0], ":") {
		s.AddressType = discoveryv1.AddressTypeIPv6
	}
	for i := range s.Endpoints {
		s.Endpoints[i].TargetRef = &corev1.ObjectReference{Kind: "Pod", Namespace: namespace, Name: fmt.Sprint(service, "-pod-", i)}
	}
	e.Make(t, s)
}

// want reconciles and wants the condition to be so, with these words in its message.
func (e *env) want(t *testing.T, status metav1.ConditionStatus, words ...string) string {
	t.Helper()
	e.Step(t, e.r, "", v1alpha1.ClusterSetName)
	set := &v1alpha1.ClusterSet{}
	if err := e.Get(t.Context(), client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
		t.Fatal(err)
	}
	c := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.ConditionAddressesApproved)
	if c == nil || c.Status != status {
		t.Fatalf("AddressesApproved is %+v, want %s", c, status)
	}
	for _, word := range words {
		if !strings.Contains(c.Message, word) {
			t.Errorf("the message lacks %q: %s", word, c.Message)
		}
	}
	return c.Message
}

// approve does what the message says.
func (e *env) approve(t *testing.T, message string) {
	t.Helper()
	_, patch, found := strings.Cut(message, "kubectl -n "+v1alpha1.DefaultHubNamespace+" patch member east --type=merge -p '")
	if !found {
		t.Fatalf("no patch in: %s", message)
	}
	member := &v1alpha1.Member{ObjectMeta: members.Meta(v1alpha1.DefaultHubNamespace, string(members.Own))}
	if err := e.Hub.Patch(t.Context(), member, client.RawPatch(types.MergePatchType, []byte(strings.TrimSuffix(patch, "'")))); err != nil {
		t.Fatal(err)
	}
}

func (e *env) setCIDRs(t *testing.T, cidrs ...v1alpha1.CIDR) {
	t.Helper()
	member := &v1alpha1.Member{}
	if err := e.Hub.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.DefaultHubNamespace, Name: string(members.Own)}, member); err != nil {
		t.Fatal(err)
	}
	member.Spec.CIDRs = cidrs
	if err := e.Hub.Update(t.Context(), member); err != nil {
		t.Fatal(err)
	}
}

// Nodes whose pods lie outside, at once or later, or because a CIDR was shrunk; the patch mends it.
func TestNodesOutside(t *testing.T) {
	e := newEnv(t, "nodes")
	e.node(t, "first", "192.0.2.1", "10.1.0.0/24")
	e.want(t, metav1.ConditionTrue)
	for i := range 20 {
		e.node(t, fmt.Sprintf("late-%02d", i), fmt.Sprintf("192.0.2.%d", 10+i), fmt.Sprintf("10.7.%d.0/24", i))
	}
	message := e.want(t, metav1.ConditionFalse, "20 ranges", "10.7.0.0/24 of the pods of node late-00", "and 15 more", "10.1.0.0/16")
	if len(message) > 1500 {
		t.Errorf("the message has %d bytes: %s", len(message), message)
	}
	select {
	case event := <-e.events.Events:
		if !strings.HasPrefix(event, "Warning AddressesOutside 20 ranges") {
			t.Errorf("event %q", event)
		}
	default:
		t.Error("no event")
	}
	e.approve(t, message)
	e.want(t, metav1.ConditionTrue)

	e.setCIDRs(t, "10.1.0.0/25")
	message = e.want(t, metav1.ConditionFalse, "21 ranges", "10.1.0.0/24 of the pods of node first")
	e.Remote(t, "west", 2, "10.7.16.0/20")
	e.want(t, metav1.ConditionFalse, "overlaps 10.7.16.0/20 of Member west", "use other addresses here")
	if err := e.Delete(t.Context(), &v1alpha1.RemoteCluster{ObjectMeta: members.Meta("", "west")}); err != nil {
		t.Fatal(err)
	}
	e.approve(t, message)
	e.want(t, metav1.ConditionTrue)
}

// Of IPv6 only what the clusterset uses counts.
func TestIPv6Outside(t *testing.T) {
	e := newEnv(t, "v6")
	e.node(t, "dual", "192.0.2.1", "10.1.0.0/24", "fd00:1::/64")
	e.want(t, metav1.ConditionTrue) // neither approved CIDRs nor clusterset IPs are IPv6
	e.setCIDRs(t, "10.1.0.0/16", "fd00:9::/64")
	message := e.want(t, metav1.ConditionFalse, "fd00:1::/64 of the pods of node dual")
	e.approve(t, message)
	e.want(t, metav1.ConditionTrue)
	e.setCIDRs(t, "10.1.0.0/16")
	set := &v1alpha1.ClusterSet{}
	if err := e.Get(t.Context(), client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
		t.Fatal(err)
	}
	set.Spec.VIPCIDRs = append(set.Spec.VIPCIDRs, "fd77::/112")
	if err := e.Update(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	e.want(t, metav1.ConditionFalse, "fd00:1::/64 of the pods of node dual")
}

// A CNI with addresses of its own: Nodes have no podCIDRs, or some that nobody uses. Pods are known
// by the Services that they are behind, whether exported or not.
func TestPodsOutside(t *testing.T) {
	for name, podCIDRs := range map[string][]string{"none": nil, "unused": {"10.244.0.0/24"}} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, "pods-"+name)
			e.node(t, "host", "192.0.2.1", podCIDRs...)
			if len(podCIDRs) == 0 {
				e.want(t, metav1.ConditionTrue)
			}
			e.pods(t, "pods-"+name, "inside", "10.1.0.7", "192.0.2.1") // the second is in the node's network
			e.want(t, metav1.ConditionTrue)
			foreign := members.Slice("pods-"+name, "imported", "", "10.66.0.1")
			foreign.Labels = map[string]string{v1alpha1.LabelSourceCluster: "west", v1alpha1.LabelServiceName: "web"}
			foreign.Endpoints[0].TargetRef = &corev1.ObjectReference{Kind: "Pod"}
			e.Make(t, foreign)
			e.Make(t, members.Slice("pods-"+name, "outer-1", "outer", "203.0.113.9")) // no pod's
			e.want(t, metav1.ConditionTrue)

			e.pods(t, "pods-"+name, "client", "10.9.0.7", "10.9.0.8")
			message := e.want(t, metav1.ConditionFalse, "2 ranges", "10.9.0.7/32 of pod pods-"+name+"/client-pod-0", `"10.9.0.0/24"`)
			e.approve(t, message)
			e.want(t, metav1.ConditionTrue)

			e.Make(t, members.Service("pods-"+name, "outer"))
			e.Make(t, members.Export("pods-"+name, "outer"))
			message = e.want(t, metav1.ConditionFalse, "203.0.113.9/32 of an endpoint of the exported Service pods-"+name+"/outer")
			e.approve(t, message)
			e.want(t, metav1.ConditionTrue)
		})
	}
}

// More addresses than anybody reads are counted, and not remembered.
func TestManyPodsOutside(t *testing.T) {
	e := newEnv(t, "many")
	var all []string
	for i := range 300 {
		all = append(all, fmt.Sprintf("10.9.%d.%d", i/250, 1+i%250))
	}
	e.pods(t, "many", "client", all...)
	e.want(t, metav1.ConditionFalse, "300 ranges", "and 295 more")
}
