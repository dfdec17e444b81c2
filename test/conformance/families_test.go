//go:build e2e

package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// readFamilies notes which IP families the pods of both clusters have. Services have all families of
// their cluster, and tests ask over each family that both have.
func (l *lab) readFamilies(ctx context.Context) error {
	l.own = map[*cluster][]corev1.IPFamily{}
	for _, c := range l.both() {
		var pod corev1.Pod
		if err := c.Get(ctx, client.ObjectKey{Namespace: toolsNamespace, Name: toolsPod}, &pod); err != nil {
			return err
		}
		for _, a := range podIPs(pod) {
			l.own[c] = append(l.own[c], familyOf(a))
		}
	}
	l.families = slices.DeleteFunc(slices.Clone(l.own[l.east]), func(f corev1.IPFamily) bool { return !slices.Contains(l.own[l.west], f) })
	if len(l.families) == 0 {
		return errors.New("the pods of east and west share no IP family")
	}
	return nil
}

// podIPs are the addresses of a pod, one of each of its IP families.
func podIPs(p corev1.Pod) (all []string) {
	for _, ip := range p.Status.PodIPs {
		all = append(all, ip.IP)
	}
	return all
}

// hostIPs are the addresses of a pod's node.
func hostIPs(p corev1.Pod) (all []string) {
	for _, ip := range p.Status.HostIPs {
		all = append(all, ip.IP)
	}
	return all
}

func familyOf(address string) corev1.IPFamily {
	return clusterset.FamilyOf(netip.MustParseAddr(address))
}

// ofFamily are the addresses of a family.
func ofFamily(all []string, family corev1.IPFamily) (some []string) {
	for _, a := range all {
		if familyOf(a) == family {
			some = append(some, a)
		}
	}
	return some
}

// flag is that of curl and nc for a family.
func flag(family corev1.IPFamily) string {
	if family == corev1.IPv4Protocol {
		return "-4"
	}
	return "-6"
}

// put adds the addresses of a name to the answers that are wanted: A and AAAA. A family without any
// has no data.
func put(want map[question]answer, name string, addresses ...string) {
	want[question{name, "A"}] = found(ofFamily(addresses, corev1.IPv4Protocol)...)
	want[question{name, "AAAA"}] = found(ofFamily(addresses, corev1.IPv6Protocol)...)
}

// dashed is a pod's address as a label of its name.
func dashed(address string) string { return strings.NewReplacer(".", "-", ":", "-").Replace(address) }

// slicesOf are EndpointSlices of a Service that somebody keeps, with the addresses of a pod, one for
// each of its families.
func slicesOf(service string, p corev1.Pod) (all []client.Object) {
	for _, a := range podIPs(p) {
		kind := discoveryv1.AddressType(familyOf(a))
		all = append(all, &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Name: strings.ToLower(fmt.Sprintf("kept-by-hand-%s", kind)), Labels: map[string]string{
				discoveryv1.LabelServiceName: service, discoveryv1.LabelManagedBy: "somebody",
			}},
			AddressType: kind,
			Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{a}}},
			Ports:       []discoveryv1.EndpointPort{{Name: new("http"), Port: new(int32(httpPort)), Protocol: new(corev1.ProtocolTCP)}},
		})
	}
	return all
}
