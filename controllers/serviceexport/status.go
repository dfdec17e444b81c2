package serviceexport

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

	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/mcs/pack"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// outcome is how an export went.
type outcome struct {
	service      *corev1.Service // nil: there is none
	notConnected error
	removed      bool                  // this cluster, from the clusterset
	selector     *metav1.LabelSelector // not nil: that does not select the namespace
	exported     bool                  // the hub has the ExportedService
	err          error
	offer        pack.Offer
	conflict     verdict
}

// conditions changes those of the status. What has been exported stays so while the hub is away.
//
// Others rely on the reason Failed of Ready: nothing of the export is on the hub, nor is going to be unless the cause
// is removed (package heartbeat).
func (o outcome) conditions(export *mcsv1beta1.ServiceExport, status *mcsv1beta1.ServiceExportStatus) {
	reason, message, valid := clusterset.ValidateExport(export.Namespace, export.Name, o.service)
	meta.SetStatusCondition(&status.Conditions, condition(export, mcsv1beta1.ServiceExportConditionValid, truth(valid), reason, message))
	had := meta.FindStatusCondition(status.Conditions, string(mcsv1beta1.ServiceExportConditionReady))
	ready, reason, message := o.ready(export.Namespace, valid)
	if ready != metav1.ConditionUnknown || had == nil || had.Status != metav1.ConditionTrue {
		meta.SetStatusCondition(&status.Conditions, condition(export, mcsv1beta1.ServiceExportConditionReady, ready, reason, message))
	}
	switch {
	case o.conflict.known:
		meta.SetStatusCondition(&status.Conditions, o.conflict.Condition(export))
	case !valid || o.removed || o.selector != nil: // it takes no part
		meta.RemoveStatusCondition(&status.Conditions, string(mcsv1beta1.ServiceExportConditionConflict))
	}
}

func (o outcome) ready(namespace string, valid bool) (metav1.ConditionStatus, mcsv1beta1.ServiceExportConditionReason, string) {
	var gone *hub.NotConnectedError
	switch {
	case !valid:
		return metav1.ConditionFalse, mcsv1beta1.ServiceExportReasonPending, "not exported: see the condition Valid"
	case o.removed:
		return metav1.ConditionFalse, mcsv1beta1.ServiceExportReasonFailed,
			"this cluster has been removed from the clusterset: ask the clusterset's admin to unset Member.spec.removed, or delete the ServiceExport"
	case o.selector != nil:
		return metav1.ConditionFalse, mcsv1beta1.ServiceExportReasonFailed, fmt.Sprintf(
			"namespace %s may not export: ClusterSet.spec.exportNamespaces selects namespaces with the labels (%s): ask the cluster's admin to label the namespace or to change the selector",
			namespace, metav1.FormatLabelSelector(o.selector))
	case o.notConnected != nil:
		return metav1.ConditionUnknown, mcsv1beta1.ServiceExportReasonPending,
			o.notConnected.Error() + "; exported as soon as it is back: see the condition HubConnected of ClusterSet default"
	case errors.As(o.err, &gone):
		return metav1.ConditionFalse, mcsv1beta1.ServiceExportReasonPending,
			"the hub is not connected, and a change waits to be published: see the condition HubConnected of ClusterSet default"
	case o.err != nil:
		return o.failure()
	case len(o.offer.Skipped) > 0 && o.offer.Endpoints == 0:
		return metav1.ConditionFalse, mcsv1beta1.ServiceExportReasonPending, "exported, but without endpoints: " + o.skipped()
	case len(o.offer.Skipped) > 0:
		return metav1.ConditionTrue, mcsv1beta1.ServiceExportReasonExported, "exported, but not in full: " + o.skipped()
	}
	return metav1.ConditionTrue, mcsv1beta1.ServiceExportReasonExported, "published on the hub"
}

// failure is Ready where something could not be published. Only a refusal of the content is for good: rights may come
// back, as when a hub is restored.
func (o outcome) failure() (metav1.ConditionStatus, mcsv1beta1.ServiceExportConditionReason, string) {
	content := apierrors.IsInvalid(o.err) || apierrors.IsRequestEntityTooLargeError(o.err) || apierrors.IsBadRequest(o.err)
	switch {
	case content && !o.exported:
		return metav1.ConditionFalse, mcsv1beta1.ServiceExportReasonFailed, "the hub refuses it: " + said(o.err)
	case content || apierrors.IsForbidden(o.err):
		return metav1.ConditionFalse, mcsv1beta1.ServiceExportReasonPending,
			"not all of it is published, because the hub refuses that, trying again: " + said(o.err)
	}
	return metav1.ConditionFalse, mcsv1beta1.ServiceExportReasonPending, "not all of it is published yet, trying again: " + said(o.err)
}

// said is what the API server said, or what is at the bottom of the error: the rest may hold what changes with each try,
// such as ports, and would make each a write of the status.
func said(err error) string {
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		return status.Status().Message
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}

// skipped says what is not published, by one example for each reason.
func (o outcome) skipped() string {
	var texts []string
	for _, s := range o.offer.Skipped {
		text := s.Message
		if s.Count > 1 {
			text += fmt.Sprintf(" (one of %d)", s.Count)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "; ")
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
	o.conditions(export, &want.Status)
	if equality.Semantic.DeepEqual(export.Status, want.Status) {
		return nil
	}
	if err := r.Client.Status().Patch(ctx, want, client.MergeFrom(export)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the status of ServiceExport %s/%s: %w", export.Namespace, export.Name, err)
	}
	return nil
}
