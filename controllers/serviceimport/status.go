package serviceimport

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/exporters"
	"github.com/tombolo-net/tombolo/controllers/internal/status"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// writeStatus writes the status of a ServiceImport for these exports, if it differs.
func (r *Reconciler) writeStatus(ctx context.Context, current *mcsv1beta1.ServiceImport, set *v1alpha1.ClusterSet,
	found exporters.Exports, vips clusterset.VIPs) error {
	clusters := found.Clusters()
	r.decisions.setClusters(client.ObjectKeyFromObject(current).String(), current.UID, clusters)
	want := current.DeepCopy()
	want.Status.Clusters = mcs.ClusterStatuses(clusters)
	want.Status.EndpointSliceObjects = mcsv1beta1.EndpointSliceObjectsPresent
	condition := ready(current, set, found, vips)
	if r.unselectedSystem(set, current.Namespace) {
		condition.Message += fmt.Sprintf("; it stays in the system namespace %s only because it was there before, and would not come back: let ClusterSet.spec.importNamespaces select it",
			current.Namespace)
	}
	status.SetConditions(current, &want.Status.Conditions, condition)
	return status.PatchShared(ctx, r.Client, current, want, fieldOwner)
}

// ready is the condition Ready of a ServiceImport.
func ready(current *mcsv1beta1.ServiceImport, set *v1alpha1.ClusterSet, found exporters.Exports, vips clusterset.VIPs) metav1.Condition {
	const ready = mcsv1beta1.ServiceImportConditionReady
	if current.Spec.Type == mcsv1beta1.ClusterSetIP && len(current.Spec.IPs) == 0 {
		reason, message := withoutIP(current, set, found, vips)
		return mcsv1beta1.NewServiceImportCondition(ready, metav1.ConditionFalse, reason, message)
	}
	return mcsv1beta1.NewServiceImportCondition(ready, metav1.ConditionTrue, mcsv1beta1.ServiceImportReasonReady, "imported"+remarks(found, vips))
}

// wantsFamily is what clusterset IPs of an IP family want.
const wantsFamily = "it has to be in spec.cidrs of this cluster's Member and in ClusterSet.spec.vipCIDRs"

// withoutIP says why a ServiceImport that should have clusterset IPs has none.
func withoutIP(current *mcsv1beta1.ServiceImport, set *v1alpha1.ClusterSet, found exporters.Exports,
	vips clusterset.VIPs) (mcsv1beta1.ServiceImportConditionReason, string) {
	switch {
	case addressesRefused(set):
		return mcsv1beta1.ServiceImportReasonPending,
			"no clusterset IP is assigned while the addresses of ClusterSet default are refused: see its condition Accepted"
	case len(found.Present) == 0:
		return mcsv1beta1.ServiceImportReasonPending, "no clusterset IP is assigned now" + remarks(found, vips)
	case len(vips.Spent) > 0:
		return mcsv1beta1.ServiceImportReasonPending, spent(vips)
	case len(vips.Full) > 0:
		return mcsv1beta1.ServiceImportReasonPending, fmt.Sprintf(
			"%s; Service %s/%s gets a clusterset IP as soon as there is room", full(vips), current.Namespace, current.Name)
	}
	return mcsv1beta1.ServiceImportReasonIPFamilyNotSupported, fmt.Sprintf(
		"the Service has only %s, of which there are no clusterset IPs here: %s", join(vips.Unserved), wantsFamily)
}

// remarks are what the user should know about an import that works.
func remarks(found exporters.Exports, vips clusterset.VIPs) string {
	var all strings.Builder
	all.WriteString(keptFor(found))
	if len(found.Malformed) > 0 {
		fmt.Fprintf(&all, "; the export by %s cannot be used now and its endpoints stay: see the condition %s of the RemoteCluster of that name",
			join(found.Malformed), v1alpha1.ConditionContentAccepted)
	}
	if len(found.Kept) > 0 {
		fmt.Fprintf(&all, "; the export by %[1]s counts only because it was imported before, and would not come back: "+
			"have the clusterset's admin list its namespace in spec.namespaces of Member %[1]s", join(found.Kept))
	}
	if len(vips.Unserved) > 0 {
		fmt.Fprintf(&all, "; not by %s, of which there are no clusterset IPs here: if clients need it, %s", join(vips.Unserved), wantsFamily)
	}
	if len(vips.Spent) > 0 {
		all.WriteString("; " + spent(vips))
	}
	if len(vips.Full) > 0 {
		all.WriteString("; " + full(vips))
	}
	return all.String()
}

// keptFor says which exports stay without being shown by the hub, why, and how to end it.
func keptFor(found exporters.Exports) string {
	var text string
	lost := slices.DeleteFunc(slices.Clone(found.Held), func(c v1alpha1.ClusterID) bool { return slices.Contains(found.NoMember, c) })
	if len(lost) > 0 {
		text += fmt.Sprintf("; the hub no longer shows the export by %s: it stays until that cluster confirms its end, or until its Member has spec.removed",
			join(lost))
	}
	if len(found.NoMember) > 0 {
		text += fmt.Sprintf("; the hub has no Member %s: what was imported from there stays, and what it may need of this ServiceImport; "+
			"to end it, create the Member again with spec.removed: true, as the RemoteCluster of that name says", join(found.NoMember))
	}
	return text
}

func spent(vips clusterset.VIPs) string {
	return fmt.Sprintf("the cluster with the oldest export has taken its share of %s, and free clusterset IPs are kept for others: "+
		"put a larger block into ClusterSet.spec.vipCIDRs, or delete ServiceExports there", join(vips.Spent))
}

func full(vips clusterset.VIPs) string {
	return fmt.Sprintf("there is no free clusterset IP in %s: put a larger block into ClusterSet.spec.vipCIDRs, or delete ServiceExports that are not needed",
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
