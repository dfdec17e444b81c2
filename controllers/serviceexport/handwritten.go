package serviceexport

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// directory tells who has an address in this cluster (package holders).
type directory interface {
	Of(ctx context.Context, namespace string, all []netip.Addr) (map[netip.Addr]clusterset.Holder, error)
	OnChange(f func(netip.Prefix))
}

// handWritten judges the endpoints of a Service's hand-written slices.
type handWritten struct {
	service *corev1.Service
	holders map[netip.Addr]clusterset.Holder
	// allowed: the namespace may export external endpoints.
	allowed bool
	// before are those that may stay without that.
	before map[netip.Addr]bool
	// kept are those that do.
	kept map[netip.Addr]bool
}

// handWritten returns what is known of the addresses of the Service's hand-written slices, nil if it
// has none.
func (r *Reconciler) handWritten(ctx context.Context, set *v1alpha1.ClusterSet, service *corev1.Service, local []discoveryv1.EndpointSlice, have onHub) (*handWritten, error) {
	key, addresses := client.ObjectKeyFromObject(service), map[netip.Addr]bool{}
	h := &handWritten{service: service, before: have.mayStay(), kept: map[netip.Addr]bool{}}
	found := false
	for i := range local {
		if !h.wrote(&local[i]) {
			continue
		}
		found = true
		for _, e := range local[i].Endpoints {
			if a, err := netip.ParseAddr(append(e.Addresses, "")[0]); err == nil {
				addresses[a] = true
			}
		}
	}
	r.examined.set(key, addresses) // before they are looked up: what changes then brings us back
	if !found {
		return nil, nil
	}
	var err error
	if h.allowed, err = r.external(ctx, set, service.Namespace); err != nil {
		return nil, err
	}
	h.holders, err = r.Holders.Of(ctx, service.Namespace, slices.Collect(maps.Keys(addresses)))
	return h, err
}

// external tells whether the ClusterSet lets the namespace export external endpoints.
func (r *Reconciler) external(ctx context.Context, set *v1alpha1.ClusterSet, namespace string) (bool, error) {
	if set.Spec.ExternalEndpoints == nil {
		return false, nil
	}
	object, err := optional.Get[corev1.Namespace](ctx, r.Client, client.ObjectKey{Name: namespace})
	if err != nil {
		return false, err
	}
	return clusterset.Selected(set.Spec.ExternalEndpoints.NamespaceSelector, object)
}

func (h *handWritten) wrote(local *discoveryv1.EndpointSlice) bool {
	return clusterset.HandWritten(local, len(h.service.Spec.Selector) > 0)
}

// judge is pack.Publisher's.
func (h *handWritten) judge(local *discoveryv1.EndpointSlice, endpoints []discoveryv1.Endpoint) (pods, external []discoveryv1.Endpoint, skipped []screen.Skipped) {
	if !h.wrote(local) {
		return endpoints, nil, nil
	}
	for _, e := range endpoints {
		a := netip.MustParseAddr(e.Addresses[0]) // package screen has parsed it
		isExternal, fault := clusterset.JudgeHandWritten(h.holders[a], h.allowed, h.before[a])
		switch {
		case fault == clusterset.EndpointTaken:
			skipped = append(skipped, screen.Skipped{Reason: screen.SkippedTaken, Count: 1, Message: fmt.Sprintf(
				"EndpointSlice %s/%s: address %s belongs to %s: name pods of namespace %s, or have the owner export a Service of its own",
				local.Namespace, local.Name, a, h.holders[a].Other, local.Namespace)})
		case fault == clusterset.EndpointUnknown:
			skipped = append(skipped, screen.Skipped{Reason: screen.SkippedExternal, Count: 1, Message: fmt.Sprintf(
				"EndpointSlice %s/%s: address %s is no pod of namespace %s: %s", local.Namespace, local.Name, a, local.Namespace, allowExternal)})
		case !isExternal:
			pods = append(pods, e)
		default:
			external = append(external, e)
			if !h.allowed {
				h.kept[a] = true
			}
		}
	}
	return pods, external, skipped
}

const allowExternal = "for endpoints that are no pods, have the cluster's admin let ClusterSet.spec.externalEndpoints.namespaceSelector select the namespace"

// annotations are those of the ExportedService.
func (h *handWritten) annotations() map[string]string {
	if h == nil {
		return nil
	}
	return map[string]string{v1alpha1.AnnotationKeptEndpoints: strings.Join(h.keptTexts(), ",")}
}

func (h *handWritten) keptTexts() (texts []string) {
	for _, a := range slices.SortedFunc(maps.Keys(h.kept), netip.Addr.Compare) {
		texts = append(texts, a.String())
	}
	return texts
}

// remark says which endpoints stay only because they were exported before; empty: none.
func (h *handWritten) remark() string {
	if h == nil || len(h.kept) == 0 {
		return ""
	}
	return fmt.Sprintf("; endpoints that are no pods of namespace %s stay exported only because they were before (%s): %s",
		h.service.Namespace, clusterset.Clip(strings.Join(h.keptTexts(), ", "), addressesShown), allowExternal)
}

// addressesShown is how many bytes of a list of addresses a condition shows.
const addressesShown = 200

// mayStay are the addresses on the hub that were exported before an admin had to allow that: all of
// them, if no version that asked for it has published the Service with hand-written slices.
func (h onHub) mayStay() map[netip.Addr]bool {
	if h.export == nil {
		return nil
	}
	listed, asked := h.export.Annotations[v1alpha1.AnnotationKeptEndpoints]
	kept := strings.Split(listed, ",")
	stay := map[netip.Addr]bool{}
	for i := range h.slices {
		for _, e := range h.slices[i].Endpoints {
			a, err := netip.ParseAddr(append(e.Addresses, "")[0])
			if err == nil && (!asked || slices.Contains(kept, a.String())) {
				stay[a] = true
			}
		}
	}
	return stay
}
