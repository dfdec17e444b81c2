package explain

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// policyAgainst is the hop for an endpoint whose NetworkPolicies do not admit the client. Selectors in
// a rule select pods of its own cluster only, so another cluster's pods need a block of addresses.
func (w *walk) policyAgainst(d destination) (Hop, bool) {
	c := w.asked(d.cluster)
	if c == nil {
		return Hop{}, false
	}
	pod := podAt(c.Pods, d.Addr())
	if pod == nil {
		return Hop{}, false
	}
	var isolating []string
	for i := range c.NetworkPolicies {
		p := &c.NetworkPolicies[i]
		if !isolates(p, pod) {
			continue
		}
		if w.admits(p, pod, d) {
			return Hop{}, false
		}
		isolating = append(isolating, object("NetworkPolicy", p.Namespace, p.Name))
	}
	if len(isolating) == 0 {
		return Hop{}, false
	}
	return Hop{Name: "endpoint", Cluster: d.cluster, Looked: isolating[0], State: Failed,
		Message: fmt.Sprintf("it selects pod %s (endpoint %s) and does not admit %s: add a rule with an ipBlock of the client's cluster", pod.Name, d, w.sources())}, true
}

// isolated tells whether a NetworkPolicy limits what reaches the endpoint's pod.
func (w *walk) isolated(d destination) bool {
	c := w.asked(d.cluster)
	if c == nil {
		return false
	}
	pod := podAt(c.Pods, d.Addr())
	return pod != nil && slices.ContainsFunc(c.NetworkPolicies, func(p networkingv1.NetworkPolicy) bool { return isolates(&p, pod) })
}

// sources names the client's addresses.
func (w *walk) sources() string {
	if len(w.Client.Addresses) == 0 {
		return "pods of cluster " + string(w.client.ID())
	}
	return fmt.Sprint(w.Client.Addresses)
}

func podAt(all []corev1.Pod, a netip.Addr) *corev1.Pod {
	for i := range all {
		if slices.ContainsFunc(all[i].Status.PodIPs, func(ip corev1.PodIP) bool { return ip.IP == a.String() }) {
			return &all[i]
		}
	}
	return nil
}

// isolates tells whether only what policies admit reaches the pod.
func isolates(p *networkingv1.NetworkPolicy, pod *corev1.Pod) bool {
	ingress := len(p.Spec.PolicyTypes) == 0 || slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeIngress)
	selector, err := metav1.LabelSelectorAsSelector(&p.Spec.PodSelector)
	return ingress && err == nil && selector.Matches(labels.Set(pod.Labels))
}

// admits tells whether a rule of the policy lets the client connect to the endpoint.
func (w *walk) admits(p *networkingv1.NetworkPolicy, pod *corev1.Pod, d destination) bool {
	return slices.ContainsFunc(p.Spec.Ingress, func(r networkingv1.NetworkPolicyIngressRule) bool {
		port := len(r.Ports) == 0 || slices.ContainsFunc(r.Ports, func(x networkingv1.NetworkPolicyPort) bool { return isPort(x, pod, d) })
		from := len(r.From) == 0 || slices.ContainsFunc(r.From, w.isClient)
		return port && from
	})
}

// isClient tells whether a peer of a rule holds the client. Without the address of a pod any block
// outside of which it may be counts.
func (w *walk) isClient(peer networkingv1.NetworkPolicyPeer) bool {
	if peer.IPBlock == nil {
		return false
	}
	if len(w.Client.Addresses) == 0 {
		return true
	}
	in := func(cidr string, a netip.Addr) bool {
		p, err := netip.ParsePrefix(cidr)
		return err == nil && p.Contains(a)
	}
	return slices.ContainsFunc(w.Client.Addresses, func(a netip.Addr) bool {
		return in(peer.IPBlock.CIDR, a) && !slices.ContainsFunc(peer.IPBlock.Except, func(e string) bool { return in(e, a) })
	})
}

func isPort(x networkingv1.NetworkPolicyPort, pod *corev1.Pod, d destination) bool {
	if d.protocol != ptr.Deref(x.Protocol, corev1.ProtocolTCP) {
		return false
	}
	switch {
	case x.Port == nil:
		return true
	case x.Port.Type == intstr.String:
		for _, c := range pod.Spec.Containers {
			if slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool {
				return p.Name == x.Port.StrVal && p.ContainerPort == int32(d.Port())
			}) {
				return true
			}
		}
		return false
	case x.EndPort != nil:
		return int32(d.Port()) >= x.Port.IntVal && int32(d.Port()) <= *x.EndPort
	}
	return int32(d.Port()) == x.Port.IntVal
}
