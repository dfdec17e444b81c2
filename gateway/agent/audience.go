package agent

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/ingress"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// addEndpoints adds to the input the endpoints of this cluster's exported Services inside its CIDRs,
// each for those senders that its export is for, and the imported ones inside what their clusters
// have. What is in a hand-written slice counts only as the operator has published it, which this
// cluster's own import shows.
func (a *Agent) addEndpoints(ctx context.Context, in *ingress.Input, o objects) error {
	own, cluster := clusterset.Prefixes(o.clusterSet.Status.CIDRs), o.clusterSet.Spec.ClusterID
	audiences, err := a.audiences(ctx)
	if err != nil {
		return err
	}
	senders := map[v1alpha1.ClusterID][]netip.Prefix{}
	for _, s := range in.Senders {
		senders[s.Cluster] = s.Prefixes
	}
	var all discoveryv1.EndpointSliceList
	if err := a.cfg.Client.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing EndpointSlices: %w", err)
	}
	selectors, err := a.selectors(ctx, audiences)
	if err != nil {
		return err
	}
	for i := range all.Items {
		s := &all.Items[i]
		service := types.NamespacedName{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}
		source := clusterset.SourceCluster(s.Labels)
		if source != "" && source != cluster {
			in.Imported = appendEndpoints(in.Imported, s, senders[source])
			continue
		}
		if source == cluster {
			service.Name = s.Labels[v1alpha1.LabelServiceName]
		}
		audience, open := audiences[service]
		switch {
		case !open:
		case source == cluster && s.Labels[discoveryv1.LabelManagedBy] != v1alpha1.ManagedBy:
		case source == "" && clusterset.HandWritten(s, selectors[service]):
		case audience == nil:
			in.Exported = appendEndpoints(in.Exported, s, own)
		default:
			for n := range in.Senders {
				if sender := &in.Senders[n]; clusterset.InAudience(audience, sender.Cluster, o.remotes[n].Spec.Region) {
					sender.Exported = appendEndpoints(sender.Exported, s, own)
				}
			}
		}
	}
	return nil
}

// selectors are the exported Services that have a selector.
func (a *Agent) selectors(ctx context.Context, exported map[types.NamespacedName]*v1alpha1.ExportAudience) (map[types.NamespacedName]bool, error) {
	has := make(map[types.NamespacedName]bool, len(exported))
	for name := range exported {
		service, err := get(ctx, a.cfg.Client, name, &corev1.Service{})
		if err != nil {
			return nil, err
		}
		has[name] = service != nil && len(service.Spec.Selector) > 0
	}
	return has, nil
}

// audiences are whom each open ServiceExport is for; nil means all members.
func (a *Agent) audiences(ctx context.Context) (map[types.NamespacedName]*v1alpha1.ExportAudience, error) {
	var exports mcsv1beta1.ServiceExportList
	if err := a.cfg.Client.List(ctx, &exports, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing ServiceExports: %w", err)
	}
	var policies v1alpha1.ExportPolicyList
	if err := a.cfg.Client.List(ctx, &policies, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing ExportPolicies: %w", err)
	}
	byTarget := map[types.NamespacedName][]*v1alpha1.ExportPolicy{}
	for i := range policies.Items {
		target := clusterset.ExportPolicyTarget(&policies.Items[i])
		byTarget[target] = append(byTarget[target], &policies.Items[i])
	}
	found := map[types.NamespacedName]*v1alpha1.ExportAudience{}
	for i := range exports.Items {
		if e := &exports.Items[i]; isOpen(e) {
			key := client.ObjectKeyFromObject(e)
			found[key] = clusterset.AudienceOf(key, byTarget[key])
		}
	}
	return found, nil
}
