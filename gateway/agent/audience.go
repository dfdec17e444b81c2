package agent

import (
	"context"
	"fmt"
	"net/netip"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/ingress"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// addEndpoints adds to the input the endpoints of this cluster's exported Services inside own, each
// for those senders that its export is for, and the imported ones inside what their clusters have.
// remotes are the senders.
func (a *Agent) addEndpoints(ctx context.Context, in *ingress.Input, own []netip.Prefix, remotes []v1alpha1.RemoteCluster) error {
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
	for i := range all.Items {
		s := &all.Items[i]
		if source := clusterset.SourceCluster(s.Labels); source != "" {
			in.Imported = appendEndpoints(in.Imported, s, senders[source])
			continue
		}
		audience, open := audiences[types.NamespacedName{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}]
		switch {
		case !open:
		case audience == nil:
			in.Exported = appendEndpoints(in.Exported, s, own)
		default:
			for n := range in.Senders {
				if sender := &in.Senders[n]; clusterset.InAudience(audience, sender.Cluster, remotes[n].Spec.Region) {
					sender.Exported = appendEndpoints(sender.Exported, s, own)
				}
			}
		}
	}
	return nil
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
