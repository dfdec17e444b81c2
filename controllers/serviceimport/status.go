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
	"github.com/tombolo-net/tombolo/controllers/constituents"
	"github.com/tombolo-net/tombolo/controllers/mcs"
)

// writeStatus writes the status of a ServiceImport that was made from these exports, if it differs.
func (r *Reconciler) writeStatus(ctx context.Context, current *mcsv1beta1.ServiceImport, set *v1alpha1.ClusterSet, found constituents.Exports) error {
	want := current.DeepCopy()
	want.Status.Clusters = mcs.ClusterStatuses(found.Clusters())
	want.Status.EndpointSliceObjects = mcsv1beta1.EndpointSliceObjectsPresent
	meta.SetStatusCondition(&want.Status.Conditions, ready(current, set, found))
	if equality.Semantic.DeepEqual(current.Status, want.Status) {
		return nil
	}
	if err := r.Client.Status().Patch(ctx, want, client.MergeFrom(current)); err != nil {
		return fmt.Errorf("writing the status of ServiceImport %s/%s: %w", current.Namespace, current.Name, err)
	}
	return nil
}

func ready(current *mcsv1beta1.ServiceImport, set *v1alpha1.ClusterSet, found constituents.Exports) metav1.Condition {
	status, reason, message := metav1.ConditionTrue, mcsv1beta1.ServiceImportReasonReady, "imported"
	switch noIP := current.Spec.Type == mcsv1beta1.ClusterSetIP && len(current.Spec.IPs) == 0; {
	case noIP && refusedAddresses(set):
		status, reason = metav1.ConditionFalse, mcsv1beta1.ServiceImportReasonPending
		message = "no clusterset IP is given out while the addresses of ClusterSet default are refused: see its condition Accepted"
	case noIP:
		status, reason = metav1.ConditionFalse, mcsv1beta1.ServiceImportReasonIPFamilyNotSupported
		message = "no exporting cluster has an IP family that ClusterSet.spec.vipCIDRs has a block of: add a block of its family"
	case len(found.Held) > 0:
		message = fmt.Sprintf("imported; the hub no longer shows the export by %s, which is kept until that cluster confirms its end or its Member says removed", joinIDs(found.Held))
	}
	c := mcsv1beta1.NewServiceImportCondition(mcsv1beta1.ServiceImportConditionReady, status, reason, message)
	c.ObservedGeneration = current.Generation
	return c
}

func joinIDs(ids []v1alpha1.ClusterID) string {
	texts := make([]string, 0, len(ids))
	for _, id := range ids {
		texts = append(texts, string(id))
	}
	return strings.Join(texts, ", ")
}
