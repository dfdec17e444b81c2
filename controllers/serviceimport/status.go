package serviceimport

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/exporters"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// writeStatus writes the status of a ServiceImport that was made from these exports, if it differs.
func (r *Reconciler) writeStatus(ctx context.Context, current *mcsv1beta1.ServiceImport, set *v1alpha1.ClusterSet,
	found exporters.Exports, vips clusterset.VIPs) error {
	clusters := found.Clusters()
	r.ledger.importedFrom(client.ObjectKeyFromObject(current).String(), current.UID, clusters)
	want := current.DeepCopy()
	want.Status.Clusters = mcs.ClusterStatuses(clusters)
	want.Status.EndpointSliceObjects = mcsv1beta1.EndpointSliceObjectsPresent
	meta.SetStatusCondition(&want.Status.Conditions, ready(current, set, found, vips))
	if equality.Semantic.DeepEqual(current.Status, want.Status) {
		return nil
	}
	patch := client.MergeFromWithOptions(current, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, want, patch, fieldOwner); err != nil {
		return fmt.Errorf("writing the status of ServiceImport %s/%s: %w", current.Namespace, current.Name, err)
	}
	return nil
}

// ready is the condition Ready of a ServiceImport as it is written.
func ready(current *mcsv1beta1.ServiceImport, set *v1alpha1.ClusterSet, found exporters.Exports, vips clusterset.VIPs) metav1.Condition {
	status, reason, message := metav1.ConditionTrue, mcsv1beta1.ServiceImportReasonReady, "imported"+remarks(found, vips)
	if current.Spec.Type == mcsv1beta1.ClusterSetIP && len(current.Spec.IPs) == 0 {
		status = metav1.ConditionFalse
		reason, message = withoutIP(current, set, found, vips)
	}
	c := mcsv1beta1.NewServiceImportCondition(mcsv1beta1.ServiceImportConditionReady, status, reason, message)
	c.ObservedGeneration = current.Generation
	return c
}

// withoutIP says why a ServiceImport that should have clusterset IPs has none.
func withoutIP(current *mcsv1beta1.ServiceImport, set *v1alpha1.ClusterSet, found exporters.Exports,
	vips clusterset.VIPs) (mcsv1beta1.ServiceImportConditionReason, string) {
	switch {
	case refusedAddresses(set):
		return mcsv1beta1.ServiceImportReasonPending,
			"no clusterset IP is given out while the addresses of ClusterSet default are refused: see its condition Accepted"
	case len(found.Present) == 0:
		return mcsv1beta1.ServiceImportReasonPending, "no clusterset IP is given out now" + remarks(found, vips)
	case len(vips.Full) > 0:
		return mcsv1beta1.ServiceImportReasonPending, fmt.Sprintf(
			"%s; Service %s/%s gets a clusterset IP as soon as there is room", full(vips), current.Namespace, current.Name)
	}
	return mcsv1beta1.ServiceImportReasonIPFamilyNotSupported, fmt.Sprintf(
		"the Service has %s only, of which ClusterSet.spec.vipCIDRs has no block: add one", join(vips.Unserved))
}

// remarks are what is to be known of an import that works.
func remarks(found exporters.Exports, vips clusterset.VIPs) string {
	var all strings.Builder
	if len(found.Held) > 0 {
		fmt.Fprintf(&all, "; the hub no longer shows the export by %s, which is kept until that cluster confirms its end or its Member says removed",
			join(found.Held))
	}
	if len(found.Malformed) > 0 {
		fmt.Fprintf(&all, "; the export by %s cannot be used as it is now, its endpoints stay: see the condition %s of the RemoteCluster of that name",
			join(found.Malformed), v1alpha1.ConditionContentAccepted)
	}
	if len(vips.Unserved) > 0 {
		fmt.Fprintf(&all, "; not by %s, of which ClusterSet.spec.vipCIDRs has no block: add one if clients here need it", join(vips.Unserved))
	}
	if len(vips.Full) > 0 {
		all.WriteString("; " + full(vips))
	}
	return all.String()
}

func full(vips clusterset.VIPs) string {
	return fmt.Sprintf("there is no free clusterset IP in %s: give ClusterSet.spec.vipCIDRs a larger block, or delete ServiceExports that nobody needs",
		join(vips.Full))
}

// join lists what can be printed.
func join[T any](all []T) string {
	texts := make([]string, 0, len(all))
	for _, one := range all {
		texts = append(texts, fmt.Sprint(one))
	}
	return strings.Join(texts, ", ")
}
