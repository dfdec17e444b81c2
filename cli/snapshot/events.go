package snapshot

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Concerns tells whether an event is about tombolo: its objects, Nodes, what its processes report, and
// the namespaces where it and the hub are.
func Concerns(e *corev1.Event, namespaces ...string) bool {
	group, _, _ := strings.Cut(e.InvolvedObject.APIVersion, "/")
	return slices.Contains(namespaces, e.Namespace) || e.InvolvedObject.Kind == "Node" ||
		group == v1alpha1.GroupVersion.Group || group == mcsv1beta1.GroupName ||
		strings.HasPrefix(e.ReportingController, "tombolo") || strings.HasPrefix(e.Source.Component, "tombolo")
}

// LastSeen is when the event happened last. Old and new recorders fill different fields.
func LastSeen(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}
