package agent

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
)

// randomObject returns one of few objects, in one of few versions; absent is true if it is to be deleted.
func randomObject(r *rand.Rand, version int64) (o client.Object, absent bool) {
	service := fmt.Sprint("web-", r.IntN(2))
	meta := metav1.ObjectMeta{Namespace: "shop", Name: service, Generation: version}
	switch kind := r.IntN(20); {
	case kind < 10:
		s := &discoveryv1.EndpointSlice{ObjectMeta: meta}
		s.Name = fmt.Sprint("slice-", r.IntN(6))
		s.Labels = map[string]string{discoveryv1.LabelServiceName: service, discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io"}
		if source := []string{"", "", "", "west", "west", "east", "north", "gone"}[r.IntN(8)]; source != "" {
			s.Labels = map[string]string{v1alpha1.LabelServiceName: service, v1alpha1.LabelSourceCluster: source, discoveryv1.LabelManagedBy: v1alpha1.ManagedBy}
		}
		if r.IntN(6) == 0 {
			s.Labels[discoveryv1.LabelManagedBy] = "me"
		}
		for range 1 + r.IntN(4) {
			address := fmt.Sprintf("10.%d.0.%d", []int{1, 2, 2, 2, 3}[r.IntN(5)], r.IntN(4))
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{address}})
		}
		for range r.IntN(3) {
			s.Ports = append(s.Ports, discoveryv1.EndpointPort{Port: ptr.To(int32(80 + r.IntN(2))), Protocol: ptr.To(corev1.ProtocolTCP)})
		}
		return s, r.IntN(6) == 0
	case kind < 12:
		e := &mcsv1beta1.ServiceExport{ObjectMeta: meta}
		if r.IntN(4) == 0 {
			e.Status.Conditions = []metav1.Condition{{Type: "Valid", Status: "False", Reason: "NoService"}}
		}
		return e, r.IntN(6) == 0
	case kind < 14:
		s := &corev1.Service{ObjectMeta: meta}
		if r.IntN(3) > 0 {
			s.Spec.Selector = map[string]string{"app": "web"}
		}
		return s, r.IntN(6) == 0
	case kind < 16:
		p := &v1alpha1.ExportPolicy{ObjectMeta: meta, Spec: v1alpha1.ExportPolicySpec{TargetRef: v1alpha1.ExportPolicyTarget{Name: service}}}
		p.Name = fmt.Sprint("policy-", r.IntN(2))
		if p.Spec.Clusters = []v1alpha1.ClusterID{"north"}; r.IntN(2) == 0 {
			p.Spec.ExportAudience = v1alpha1.ExportAudience{Regions: []string{"eu"}}
		}
		return p, r.IntN(2) == 0
	case kind < 18:
		n := r.IntN(2)
		remote := &v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: []string{"east", "north"}[n]},
			Spec: v1alpha1.RemoteClusterSpec{Index: int32(1 + 2*n), Region: []string{"eu", "us"}[r.IntN(2)]}}
		for range 1 + r.IntN(2) {
			remote.Spec.CIDRs = append(remote.Spec.CIDRs, v1alpha1.CIDR(fmt.Sprintf("10.%d.0.%d/31", 1+2*n, 2*r.IntN(2))))
		}
		return remote, r.IntN(6) == 0
	case kind < 19:
		return gatewayNode(func(n *corev1.Node) {
			if r.IntN(2) == 0 {
				n.Name = "east-2"
			}
			n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("192.0.2.%d", r.IntN(3))}}
		}), false
	}
	set := ingressObjects()[0].(*v1alpha1.ClusterSet)
	set.Spec.Gateway.Ingress = []v1alpha1.IngressMode{v1alpha1.IngressExported, v1alpha1.IngressExported, v1alpha1.IngressExported, v1alpha1.IngressAny}[r.IntN(4)]
	set.Status.CIDRs = []v1alpha1.CIDR{[]v1alpha1.CIDR{"10.2.0.0/16", "10.2.0.0/16", "10.2.0.0/31"}[r.IntN(3)]}
	return set, r.IntN(12) == 0
}

// After any changes the filter is the one that an agent plans that has just started.
func TestIngressFollows(t *testing.T) {
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 0))
		a, k := newIngressAgent(t, ingressObjects()[0], ingressObjects()[2])
		handler := node.OnEvent(a.changed, a.same)
		for step := range 80 {
			after, absent := randomObject(r, int64(step))
			before := after.DeepCopyObject().(client.Object)
			exists := client.IgnoreNotFound(a.cfg.Client.Get(t.Context(), client.ObjectKeyFromObject(after), before)) == nil && before.GetResourceVersion() != ""
			after.SetResourceVersion(before.GetResourceVersion())
			var err error
			switch {
			case exists && absent:
				err = a.cfg.Client.Delete(t.Context(), before)
				handler.OnDelete(before)
			case exists:
				err = a.cfg.Client.Update(t.Context(), after)
				handler.OnUpdate(before, after)
			case !absent:
				err = a.cfg.Client.Create(t.Context(), after)
				handler.OnAdd(after, false)
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.IntN(3) == 0 {
				continue // more changes come before the next pass
			}
			anew := &memoryKernel{}
			b := New(Config{Client: a.cfg.Client, Secrets: a.cfg.Client, NodeName: "east-1", Namespace: "ns", Kernel: anew.kernel()})
			for _, agent := range []*Agent{a, b} {
				if err := agent.ingressPass(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(anew.ingress, k.ingress); diff != "" {
				t.Fatalf("seed %d, after change %d of %T %s (-anew +after all changes)\n%s", seed, step, after, after.GetName(), diff)
			}
		}
	}
}
