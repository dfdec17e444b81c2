package serviceexport

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/status"
	"github.com/tombolo-net/tombolo/controllers/mcs/pack"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// writeStatus writes the conditions if they differ.
func (r *Reconciler) writeStatus(ctx context.Context, export *mcsv1beta1.ServiceExport, service *corev1.Service, published result, publishErr error) error {
	want := export.DeepCopy()
	reason, message, valid := clusterset.ValidateExport(export.Namespace, export.Name, service)
	status.SetConditions(export, &want.Status.Conditions,
		condition(mcsv1beta1.ServiceExportConditionValid, truth(valid), reason, message))
	setReady(export, want, ready(export.Namespace, valid, published, publishErr))
	switch {
	case published.conflict != nil:
		status.SetConditions(export, &want.Status.Conditions, published.conflict.Condition(export))
	case !valid || published.fault != clusterset.ExportAllowed: // it takes no part
		meta.RemoveStatusCondition(&want.Status.Conditions, string(mcsv1beta1.ServiceExportConditionConflict))
	}
	return client.IgnoreNotFound(status.Patch(ctx, r.Client, export, want))
}

// setReady sets the condition, unless it is unknown and was true: what has been exported stays
// exported while the hub is away.
func setReady(export, want *mcsv1beta1.ServiceExport, ready metav1.Condition) {
	had := meta.FindStatusCondition(want.Status.Conditions, ready.Type)
	if ready.Status == metav1.ConditionUnknown && had != nil && had.Status == metav1.ConditionTrue {
		return
	}
	status.SetConditions(export, &want.Status.Conditions, ready)
}

// ready is the condition Ready.
//
// Others rely on its reason Failed: nothing of the export is on the hub, nor will be unless
// somebody removes the cause (package heartbeat).
func ready(namespace string, valid bool, published result, err error) metav1.Condition {
	switch {
	case !valid:
		return notReady(mcsv1beta1.ServiceExportReasonPending, "not exported: see the condition Valid")
	case published.fault == clusterset.ExportRemoved:
		return notReady(mcsv1beta1.ServiceExportReasonFailed,
			"this cluster has been removed from the clusterset: ask the clusterset's admin to unset Member.spec.removed, or delete the ServiceExport")
	case published.fault == clusterset.ExportNotSelected:
		return notReady(mcsv1beta1.ServiceExportReasonFailed, fmt.Sprintf(
			"namespace %s may not export: ClusterSet.spec.exportNamespaces selects the labels (%s): ask the cluster's admin to label the namespace or to change the selector",
			namespace, metav1.FormatLabelSelector(published.selector)))
	case published.fault == clusterset.ExportNotApproved:
		return notReady(mcsv1beta1.ServiceExportReasonFailed, published.unapproved)
	case errors.As(err, new(*waitingError)):
		return condition(mcsv1beta1.ServiceExportConditionReady, metav1.ConditionUnknown, mcsv1beta1.ServiceExportReasonPending,
			err.Error()+"; exported as soon as it is back: see the condition HubConnected of ClusterSet default")
	case errors.As(err, new(*hub.NotConnectedError)):
		return notReady(mcsv1beta1.ServiceExportReasonPending,
			"the hub is not connected, and a change waits to be published: see the condition HubConnected of ClusterSet default")
	case err != nil:
		return failed(published, err)
	}
	ready := exported(published.offer)
	ready.Message += published.byHand.remark()
	if published.unapproved != "" {
		ready.Message += "; it stays exported only because it was before, and would not come back: " + published.unapproved
	}
	return ready
}

// exported is Ready when all that the cluster offers is on the hub.
func exported(offer pack.Offer) metav1.Condition {
	switch {
	case len(offer.Skipped) > 0 && offer.Endpoints == 0:
		return notReady(mcsv1beta1.ServiceExportReasonPending, "exported without endpoints: "+skipped(offer))
	case len(offer.Skipped) > 0:
		return condition(mcsv1beta1.ServiceExportConditionReady, metav1.ConditionTrue, mcsv1beta1.ServiceExportReasonExported,
			"exported in part: "+skipped(offer))
	}
	return condition(mcsv1beta1.ServiceExportConditionReady, metav1.ConditionTrue, mcsv1beta1.ServiceExportReasonExported, "published on the hub")
}

// failed is Ready when something could not be published. Only a refusal of the content is final:
// rights may come back, as when a hub is restored.
func failed(published result, err error) metav1.Condition {
	content := apierrors.IsInvalid(err) || apierrors.IsRequestEntityTooLargeError(err) || apierrors.IsBadRequest(err)
	switch {
	case content && !published.exported:
		return notReady(mcsv1beta1.ServiceExportReasonFailed, "the hub refuses the export: "+cause(err))
	case content || apierrors.IsForbidden(err):
		return notReady(mcsv1beta1.ServiceExportReasonPending, "the hub refuses a part of the export, trying again: "+cause(err))
	}
	return notReady(mcsv1beta1.ServiceExportReasonPending, "not completely published yet, trying again: "+cause(err))
}

// cause is what the API server said, or the innermost error. The rest may hold what changes with
// each try, such as ports, and every try would then write the status.
func cause(err error) string {
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		return status.Status().Message
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}

// skipped says what is not published, with one example for each reason.
func skipped(offer pack.Offer) string {
	var texts []string
	for _, s := range offer.Skipped {
		text := s.Message
		if s.Count > 1 {
			text += fmt.Sprintf(" (one of %d)", s.Count)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "; ")
}

func notReady(reason mcsv1beta1.ServiceExportConditionReason, message string) metav1.Condition {
	return condition(mcsv1beta1.ServiceExportConditionReady, metav1.ConditionFalse, reason, message)
}

func condition(kind mcsv1beta1.ServiceExportConditionType, status metav1.ConditionStatus,
	reason mcsv1beta1.ServiceExportConditionReason, message string) metav1.Condition {
	return mcsv1beta1.NewServiceExportCondition(kind, status, reason, message)
}

func truth(b bool) metav1.ConditionStatus {
	if b {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}
