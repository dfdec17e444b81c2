package mcs

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// TriggerOf is when that changed which the EndpointSlice with these annotations followed, as the
// endpoint controller of its cluster says (endpoints.kubernetes.io/last-change-trigger-time): a pod
// became ready, say. Zero: it is not known.
func TriggerOf(annotations map[string]string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, annotations[corev1.EndpointsLastChangeTriggerTime])
	if err != nil {
		return time.Time{}
	}
	return at
}

// LatestTrigger is the latest of the slices' (TriggerOf). Zero: it is not known.
func LatestTrigger(all []discoveryv1.EndpointSlice) (latest time.Time) {
	for i := range all {
		if at := TriggerOf(all[i].Annotations); at.After(latest) {
			latest = at
		}
	}
	return latest
}

// SetTrigger makes TriggerOf return that time for the slice, whose other annotations go. It is not
// content (SameSlice): no slice is written because of it. Readers count how long a change took when
// the time differs from before.
func SetTrigger(slice *discoveryv1.EndpointSlice, at time.Time) {
	slice.Annotations = nil
	if !at.IsZero() {
		slice.Annotations = map[string]string{corev1.EndpointsLastChangeTriggerTime: at.UTC().Format(time.RFC3339Nano)}
	}
}
