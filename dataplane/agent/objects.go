package agent

import (
	"context"
	"fmt"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// objects are what ServiceImports are planned from, by the names of the ServiceImports.
type objects struct {
	imports  map[types.NamespacedName]*mcsv1beta1.ServiceImport
	slices   map[types.NamespacedName][]*discoveryv1.EndpointSlice
	policies map[types.NamespacedName][]*v1alpha1.TrafficPolicy
}

// allObjects reads those of all ServiceImports that exist. To look for those of each takes ten
// times as long.
func allObjects(ctx context.Context, c client.Reader) (objects, error) {
	var imports mcsv1beta1.ServiceImportList
	if err := c.List(ctx, &imports); err != nil {
		return objects{}, fmt.Errorf("reading ServiceImports: %w", err)
	}
	var slices discoveryv1.EndpointSliceList
	if err := c.List(ctx, &slices); err != nil {
		return objects{}, fmt.Errorf("reading EndpointSlices: %w", err)
	}
	var policies v1alpha1.TrafficPolicyList
	if err := c.List(ctx, &policies); err != nil {
		return objects{}, fmt.Errorf("reading TrafficPolicies: %w", err)
	}
	all := objects{
		imports:  make(map[types.NamespacedName]*mcsv1beta1.ServiceImport, len(imports.Items)),
		slices:   make(map[types.NamespacedName][]*discoveryv1.EndpointSlice, len(imports.Items)),
		policies: map[types.NamespacedName][]*v1alpha1.TrafficPolicy{},
	}
	for i := range imports.Items {
		all.imports[client.ObjectKeyFromObject(&imports.Items[i])] = &imports.Items[i]
	}
	for i := range slices.Items {
		name := importOf(&slices.Items[i])
		all.slices[name] = append(all.slices[name], &slices.Items[i])
	}
	for i := range policies.Items {
		name := clusterset.PolicyTarget(&policies.Items[i])
		all.policies[name] = append(all.policies[name], &policies.Items[i])
	}
	return all, nil
}

// objectsOf reads those of these ServiceImports.
func objectsOf(ctx context.Context, c client.Reader, names map[types.NamespacedName]bool) (objects, error) {
	some := objects{imports: map[types.NamespacedName]*mcsv1beta1.ServiceImport{},
		slices:   map[types.NamespacedName][]*discoveryv1.EndpointSlice{},
		policies: map[types.NamespacedName][]*v1alpha1.TrafficPolicy{}}
	for name := range names {
		var si mcsv1beta1.ServiceImport
		err := c.Get(ctx, name, &si)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return objects{}, fmt.Errorf("reading ServiceImport %s: %w", name, err)
		}
		some.imports[name] = &si
		var slices discoveryv1.EndpointSliceList
		err = c.List(ctx, &slices, client.InNamespace(name.Namespace), client.MatchingFields{byService: name.Name})
		if err != nil {
			return objects{}, fmt.Errorf("reading EndpointSlices of ServiceImport %s: %w", name, err)
		}
		some.slices[name] = pointers(slices.Items)
		var policies v1alpha1.TrafficPolicyList
		err = c.List(ctx, &policies, client.InNamespace(name.Namespace), client.MatchingFields{byTarget: name.Name})
		if err != nil {
			return objects{}, fmt.Errorf("reading TrafficPolicies of ServiceImport %s: %w", name, err)
		}
		some.policies[name] = pointers(policies.Items)
	}
	return some, nil
}

// importOf returns the name of the ServiceImport that the slice belongs to.
func importOf(slice *discoveryv1.EndpointSlice) types.NamespacedName {
	return types.NamespacedName{Namespace: slice.Namespace, Name: slice.Labels[v1alpha1.LabelServiceName]}
}

func pointers[T any](items []T) []*T {
	all := make([]*T, len(items))
	for i := range items {
		all[i] = &items[i]
	}
	return all
}
