package export

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/mcs"
)

// namedOutside is how many of the endpoints that are not published a message names.
const namedOutside = 3

// outcome is how an export went.
type outcome struct {
	service      *corev1.Service // nil: there is none
	notConnected error
	removed      bool // this cluster, from the clusterset
	err          error
	published    int             // endpoints
	outside      []string        // addresses that are not approved
	cidrs        []v1alpha1.CIDR // that are
}

// conditions returns Valid and Ready. had is Ready as it was: what has been exported stays so while the hub is away.
func (o outcome) conditions(export *mcsv1beta1.ServiceExport, had *metav1.Condition) []metav1.Condition {
	reason, message, valid := mcs.ValidateExport(export.Namespace, export.Name, o.service)
	conditions := []metav1.Condition{
		condition(export, mcsv1beta1.ServiceExportConditionValid, truth(valid), reason, message),
	}
	status, readyReason, message := o.ready(valid)
	if status == metav1.ConditionUnknown && had != nil && had.Status == metav1.ConditionTrue {
		return conditions
	}
	return append(conditions, condition(export, mcsv1beta1.ServiceExportConditionReady, status, readyReason, message))
}

func (o outcome) ready(valid bool) (metav1.ConditionStatus, mcsv1beta1.ServiceExportConditionReason, string) {
	var gone *hub.NotConnectedError
	switch {
	case !valid:
		return metav1.ConditionFalse, mcsv1beta1.ServiceExportReasonPending, "not exported: see the condition Valid"
	case o.removed:
		return metav1.ConditionFalse, mcsv1beta1.ServiceExportReasonFailed,
			"this cluster has been removed from the clusterset: ask the clusterset's admin to unset Member.spec.removed, or delete the ServiceExport"
	case o.notConnected != nil:
		return metav1.ConditionUnknown, mcsv1beta1.ServiceExportReasonPending,
			o.notConnected.Error() + "; exported as soon as it is back: see the condition HubConnected of ClusterSet default"
	case errors.As(o.err, &gone):
		return metav1.ConditionFalse, mcsv1beta1.ServiceExportReasonPending,
			"the hub is not connected, and a change waits to be published: see the condition HubConnected of ClusterSet default"
	case apierrors.IsInvalid(o.err), apierrors.IsRequestEntityTooLargeError(o.err):
		return metav1.ConditionFalse, mcsv1beta1.ServiceExportReasonFailed, fmt.Sprintf("the hub refuses it: %v", o.err)
	case o.err != nil:
		return metav1.ConditionFalse, mcsv1beta1.ServiceExportReasonPending,
			fmt.Sprintf("not published on the hub yet, trying again: %v", o.err)
	case len(o.outside) > 0 && o.published == 0:
		return metav1.ConditionFalse, mcsv1beta1.ServiceExportReasonFailed, "none of the endpoints is published: " + o.unapproved()
	case len(o.outside) > 0:
		return metav1.ConditionTrue, mcsv1beta1.ServiceExportReasonExported, "exported, but not all endpoints: " + o.unapproved()
	}
	return metav1.ConditionTrue, mcsv1beta1.ServiceExportReasonExported, "published on the hub"
}

func (o outcome) unapproved() string {
	named := o.outside[:min(len(o.outside), namedOutside)]
	more := ""
	if n := len(o.outside) - len(named); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	cidrs := make([]string, 0, len(o.cidrs))
	for _, c := range o.cidrs {
		cidrs = append(cidrs, string(c))
	}
	return fmt.Sprintf("%s%s lie outside this cluster's approved CIDRs (%s): ask the clusterset's admin to add theirs to Member.spec.cidrs",
		strings.Join(named, ", "), more, strings.Join(cidrs, ", "))
}

func condition(export *mcsv1beta1.ServiceExport, kind mcsv1beta1.ServiceExportConditionType, status metav1.ConditionStatus,
	reason mcsv1beta1.ServiceExportConditionReason, message string) metav1.Condition {
	c := mcsv1beta1.NewServiceExportCondition(kind, status, reason, message)
	c.ObservedGeneration = export.Generation
	return c
}

func truth(b bool) metav1.ConditionStatus {
	if b {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}

// writeStatus writes the conditions if they differ.
func (r *Reconciler) writeStatus(ctx context.Context, export *mcsv1beta1.ServiceExport, o outcome) error {
	want := export.DeepCopy()
	had := meta.FindStatusCondition(export.Status.Conditions, string(mcsv1beta1.ServiceExportConditionReady))
	for _, c := range o.conditions(export, had) {
		meta.SetStatusCondition(&want.Status.Conditions, c)
	}
	if equality.Semantic.DeepEqual(export.Status, want.Status) {
		return nil
	}
	if err := r.Client.Status().Patch(ctx, want, client.MergeFrom(export)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the status of ServiceExport %s/%s: %w", export.Namespace, export.Name, err)
	}
	return nil
}
