package agent

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/ingress"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
)

// planEndpoints plans the elements of the slices that are marked, or of all of them.
func (a *Agent) planEndpoints(ctx context.Context, in ingress.Input, work work, all bool) error {
	elements := &a.admission.elements
	if all {
		*elements = firewall.Elements[types.NamespacedName]{}
	}
	slices, err := a.slicesToPlan(ctx, work, all)
	if err != nil {
		return err
	}
	exports := map[types.NamespacedName]ingress.Export{} // many slices may belong to one Service
	for name, s := range slices {
		if s == nil {
			elements.Put(name, nil)
			continue
		}
		service := ingress.ServiceOf(s)
		if _, known := exports[service]; !known && !in.Imported(s) {
			if exports[service], err = a.exportOf(ctx, service); err != nil {
				return err
			}
		}
		elements.Put(name, in.Elements(s, exports[service]))
	}
	return nil
}

// slicesToPlan returns the slices that are marked, or all of them, by name; nil for one that is gone.
func (a *Agent) slicesToPlan(ctx context.Context, work work, all bool) (map[types.NamespacedName]*discoveryv1.EndpointSlice, error) {
	found := map[types.NamespacedName]*discoveryv1.EndpointSlice{}
	list := func(options ...client.ListOption) error {
		var list discoveryv1.EndpointSliceList
		if err := a.cfg.Client.List(ctx, &list, append(options, client.UnsafeDisableDeepCopy)...); err != nil {
			return fmt.Errorf("listing EndpointSlices: %w", err)
		}
		for i := range list.Items {
			found[client.ObjectKeyFromObject(&list.Items[i])] = &list.Items[i]
		}
		return nil
	}
	if all {
		return found, list()
	}
	for name := range work.services {
		if err := list(client.InNamespace(name.Namespace), client.MatchingFields{byService: name.Name}); err != nil {
			return nil, err
		}
	}
	for name := range work.slices {
		s, err := get(ctx, a.cfg.Client, name, &discoveryv1.EndpointSlice{})
		if err != nil {
			return nil, err
		}
		found[name] = s
	}
	return found, nil
}

// exportOf returns what is known of the export of a Service.
func (a *Agent) exportOf(ctx context.Context, name types.NamespacedName) (ingress.Export, error) {
	export, err := get(ctx, a.cfg.Client, name, &mcsv1beta1.ServiceExport{})
	if err != nil || export == nil || !isOpen(export) {
		return ingress.Export{}, err
	}
	service, err := get(ctx, a.cfg.Client, name, &corev1.Service{})
	if err != nil {
		return ingress.Export{}, err
	}
	var list v1alpha1.ExportPolicyList
	if err := a.cfg.Client.List(ctx, &list, client.InNamespace(name.Namespace), client.MatchingFields{byTarget: name.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return ingress.Export{}, fmt.Errorf("listing ExportPolicies: %w", err)
	}
	policies := make([]*v1alpha1.ExportPolicy, len(list.Items))
	for i := range list.Items {
		policies[i] = &list.Items[i]
	}
	return ingress.Export{Open: true, Audience: clusterset.AudienceOf(name, policies), Selector: service != nil && len(service.Spec.Selector) > 0}, nil
}
