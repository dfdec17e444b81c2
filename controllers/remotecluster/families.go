package remotecluster

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// families are the IP families of the addresses that others can send to, IPv4 first.
func families(endpoints []v1alpha1.Endpoint) []corev1.IPFamily {
	var all []corev1.IPFamily
	for _, e := range endpoints {
		if a, err := netip.ParseAddr(string(e.Address)); err == nil {
			all = append(all, clusterset.FamilyOf(a.Unmap()))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// strangers says that no gateway here and no gateway of the remote cluster have addresses of one IP
// family, so that no link between them can be up. It is empty if they have.
func strangers(rc *v1alpha1.RemoteCluster, gateways localGateways) string {
	var theirs []v1alpha1.Endpoint
	for _, g := range rc.Spec.Gateways {
		theirs = append(theirs, g.Endpoints...)
	}
	here, there := families(gateways.endpoints), families(theirs)
	if len(here) == 0 || len(there) == 0 || slices.ContainsFunc(here, func(f corev1.IPFamily) bool { return slices.Contains(there, f) }) {
		return ""
	}
	return fmt.Sprintf("the gateways share no IP family: those here have %s addresses, those of cluster %s have %s: give the nodes of one side "+
		"an address of the other family, or name one in the annotation %s", words(here), rc.Name, words(there), v1alpha1.AnnotationGatewayEndpoints)
}

func words(families []corev1.IPFamily) string {
	texts := make([]string, 0, len(families))
	for _, f := range families {
		texts = append(texts, string(f))
	}
	return strings.Join(texts, " and ")
}
