package mcs

import (
	"cmp"
	"hash/fnv"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Publisher is a cluster that publishes EndpointSlices on the hub.
type Publisher struct {
	Cluster      v1alpha1.ClusterID
	HubNamespace string
	CIDRs        []netip.Prefix // that its Member approves
}

// HubSlices are the slices that the cluster publishes for an exported Service: one for each local slice with IP
// addresses, and an empty one for a family of the Service that has none, so that a Service without any slice on the hub
// is a loss and no news. Endpoints outside the approved CIDRs are left out and returned apart, each once, in order.
func (p Publisher) HubSlices(service *corev1.Service, local []discoveryv1.EndpointSlice) ([]discoveryv1.EndpointSlice, []string) {
	sources := slices.Clone(local)
	for _, family := range service.Spec.IPFamilies {
		if !hasFamily(local, discoveryv1.AddressType(family)) {
			// No local slice has a name with a slash: it stands for none.
			sources = append(sources, discoveryv1.EndpointSlice{
				ObjectMeta:  metav1.ObjectMeta{Name: "/" + string(family)},
				AddressType: discoveryv1.AddressType(family),
			})
		}
	}
	slices.SortFunc(sources, func(a, b discoveryv1.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) })
	var published []discoveryv1.EndpointSlice
	var outside []string
	used := map[int]bool{}
	for i := range sources {
		if sources[i].AddressType == discoveryv1.AddressTypeFQDN {
			continue
		}
		slice, out := p.hubSlice(service, &sources[i], sliceNumber(sources[i].Name, used))
		published, outside = append(published, slice), append(outside, out...)
	}
	slices.Sort(outside)
	return published, slices.Compact(outside)
}

func (p Publisher) hubSlice(service *corev1.Service, local *discoveryv1.EndpointSlice, n int) (discoveryv1.EndpointSlice, []string) {
	endpoints, outside := filterEndpoints(local.Endpoints, p.CIDRs)
	return discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.HubNamespace,
			Name:      v1alpha1.HubSliceName(p.Cluster, service.Namespace, service.Name, n),
			Labels: sliceLabels(p.Cluster, service.Name, map[string]string{
				v1alpha1.LabelNamespace: service.Namespace,
			}),
		},
		AddressType: local.AddressType,
		Endpoints:   endpoints,
		Ports:       local.Ports,
	}, outside
}

// sliceLabels are the labels of every slice that tombolo writes. The headless one keeps kube-proxy from reading it.
func sliceLabels(cluster v1alpha1.ClusterID, service string, more map[string]string) map[string]string {
	labels := map[string]string{
		v1alpha1.LabelServiceName:   service,
		v1alpha1.LabelSourceCluster: string(cluster),
		discoveryv1.LabelManagedBy:  v1alpha1.ManagedBy,
		corev1.IsHeadlessService:    "",
	}
	for key, value := range more {
		labels[key] = value
	}
	return labels
}

// filterEndpoints returns copies of the endpoints whose address lies in one of the CIDRs, and the addresses of those
// that do not. Of an endpoint's addresses only the first has a meaning (discovery/v1). Hints and target references are
// the business of the cluster that they come from.
func filterEndpoints(endpoints []discoveryv1.Endpoint, cidrs []netip.Prefix) ([]discoveryv1.Endpoint, []string) {
	kept := make([]discoveryv1.Endpoint, 0, len(endpoints))
	var outside []string
	for _, e := range endpoints {
		if len(e.Addresses) == 0 {
			continue
		}
		addr, err := netip.ParseAddr(e.Addresses[0])
		if err != nil || !Contains(cidrs, addr) {
			outside = append(outside, e.Addresses[0])
			continue
		}
		kept = append(kept, discoveryv1.Endpoint{
			Addresses:  e.Addresses[:1],
			Conditions: *e.Conditions.DeepCopy(),
			Hostname:   e.Hostname,
			NodeName:   e.NodeName,
			Zone:       e.Zone,
		})
	}
	return kept, outside
}

// Contains tells whether one of the CIDRs holds the address.
func Contains(cidrs []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(cidrs, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func hasFamily(local []discoveryv1.EndpointSlice, family discoveryv1.AddressType) bool {
	return slices.ContainsFunc(local, func(s discoveryv1.EndpointSlice) bool { return s.AddressType == family })
}

// sliceNumber derives the number of the slice on the hub from the local slice's name, so that it needs to be remembered
// nowhere. Of two whose hashes are equal the one with the later name takes the next number.
func sliceNumber(name string, used map[int]bool) int {
	h := fnv.New32a()
	h.Write([]byte(name)) // never an error (hash.Hash)
	n := int(h.Sum32())
	for used[n] {
		n++
	}
	used[n] = true
	return n
}
