package clusterset

import (
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// endpointSliceController is who makes the EndpointSlices of Services with a selector
// (kube-controller-manager).
const endpointSliceController = "endpointslice-controller.k8s.io"

// HandWritten tells whether a local EndpointSlice holds what somebody wrote into it: its addresses may
// be anybody's. The cluster's own controller answers for the slices of Services with a selector. It
// leaves those of others alone, whatever their labels say.
func HandWritten(slice *discoveryv1.EndpointSlice, selector bool) bool {
	return !selector || slice.Labels[discoveryv1.LabelManagedBy] != endpointSliceController
}

// External tells whether the endpoints of a slice with these labels, on the hub or imported from there,
// are no pods.
func External(labels map[string]string) bool {
	return labels[v1alpha1.LabelEndpoints] == v1alpha1.EndpointsExternal
}

// Holder is who has an address of this cluster, as a namespace sees it. The zero Holder is nobody that
// Kubernetes knows.
type Holder struct {
	// OwnPod: a pod of the namespace.
	OwnPod bool
	// Other is who else has it, such as "pod shop/db" or "node a"; empty: nobody.
	Other string
}

// HandWrittenFault is why an address of a hand-written slice is not exported.
type HandWrittenFault int

// The faults.
const (
	// EndpointAllowed: there is none.
	EndpointAllowed HandWrittenFault = iota
	// EndpointTaken: somebody else has the address. No opt-in allows that.
	EndpointTaken
	// EndpointUnknown: nobody has it, and the namespace may not export such addresses.
	EndpointUnknown
)

// JudgeHandWritten is the one rule for the addresses of hand-written slices. A pod of the Service's own
// namespace is exported. What is no pod is external: it is exported if the cluster's admin allows that
// for the namespace, or if it was exported before there was such a rule (kept).
func JudgeHandWritten(h Holder, allowed, kept bool) (external bool, fault HandWrittenFault) {
	switch {
	case h.Other != "":
		return false, EndpointTaken
	case h.OwnPod:
		return false, EndpointAllowed
	case allowed, kept:
		return true, EndpointAllowed
	}
	return false, EndpointUnknown
}
