package derived

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Slices are the EndpointSlices of the derived Service, one for each imported slice, by name. They
// are copies: an imported slice cannot be read as the Service's, too. With both labels, programs that
// know ServiceImports would take it for the Service's alone, and kube-proxy leaves it out because of
// its label for headless Services.
//
// kube-proxy knows nothing of clusters. So endpoints of those for which reachable is false are
// written as not ready, as long as others are ready. If none are, all stay as they are, as on nodes.
func Slices(service *corev1.Service, imported []discoveryv1.EndpointSlice, reachable func(v1alpha1.ClusterID) bool) []discoveryv1.EndpointSlice {
	var unreachable map[v1alpha1.ClusterID]bool
	elsewhere := false
	for i := range imported {
		cluster := clusterset.SourceCluster(imported[i].Labels)
		if reachable(cluster) {
			elsewhere = elsewhere || slices.ContainsFunc(imported[i].Endpoints, ready)
			continue
		}
		if unreachable == nil {
			unreachable = map[v1alpha1.ClusterID]bool{}
		}
		unreachable[cluster] = true
	}
	made := make([]discoveryv1.EndpointSlice, 0, len(imported))
	for i := range imported {
		one := sliceFor(service, &imported[i])
		if elsewhere && unreachable[clusterset.SourceCluster(imported[i].Labels)] {
			for j := range one.Endpoints {
				one.Endpoints[j].Conditions.Ready = ptr.To(false)
				one.Endpoints[j].Conditions.Serving = ptr.To(false)
			}
		}
		made = append(made, one)
	}
	slices.SortFunc(made, func(a, b discoveryv1.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) })
	return made
}

func ready(e discoveryv1.Endpoint) bool { return ptr.Deref(e.Conditions.Ready, true) }

// sliceFor is the Service's copy of an imported slice. Its name has one part more than the names of
// imported slices, whatever the cluster's ID is.
func sliceFor(service *corev1.Service, imported *discoveryv1.EndpointSlice) discoveryv1.EndpointSlice {
	labels := map[string]string{
		discoveryv1.LabelServiceName: service.Name,
		discoveryv1.LabelManagedBy:   v1alpha1.ManagedBy,
	}
	if service.Spec.ClusterIP == corev1.ClusterIPNone {
		labels[corev1.IsHeadlessService] = ""
	}
	from := imported.DeepCopy()
	return discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: service.Namespace,
			Name:      service.Name + "." + imported.Name,
			Labels:    labels,
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "v1", Kind: "Service", Name: service.Name, UID: service.UID, Controller: ptr.To(true),
			}},
		},
		AddressType: from.AddressType,
		Endpoints:   from.Endpoints,
		Ports:       from.Ports,
	}
}

// Change is what to write so that the slices of a derived Service are as wanted. The slices of
// Update have the resource version of those that are there.
type Change struct {
	Create, Update, Delete []discoveryv1.EndpointSlice
}

// Empty tells whether there is nothing to write.
func (c Change) Empty() bool { return len(c.Create)+len(c.Update)+len(c.Delete) == 0 }

// Diff returns what makes have the wanted slices. A slice whose address type must change is deleted;
// the next Diff creates it.
func Diff(have, want []discoveryv1.EndpointSlice) Change {
	byName := map[string]*discoveryv1.EndpointSlice{}
	for i := range have {
		byName[have[i].Name] = &have[i]
	}
	var change Change
	for _, w := range want {
		h := byName[w.Name]
		delete(byName, w.Name)
		switch {
		case h == nil:
			change.Create = append(change.Create, w)
		case h.AddressType != w.AddressType:
			change.Delete = append(change.Delete, *h)
		case !sameSlice(h, &w):
			w.ResourceVersion = h.ResourceVersion
			change.Update = append(change.Update, w)
		}
	}
	for i := range have {
		if byName[have[i].Name] != nil {
			change.Delete = append(change.Delete, have[i])
		}
	}
	return change
}

func sameSlice(have, want *discoveryv1.EndpointSlice) bool {
	return equality.Semantic.DeepEqual(have.Labels, want.Labels) &&
		equality.Semantic.DeepEqual(have.OwnerReferences, want.OwnerReferences) &&
		equality.Semantic.DeepEqual(have.Endpoints, want.Endpoints) &&
		equality.Semantic.DeepEqual(have.Ports, want.Ports)
}
