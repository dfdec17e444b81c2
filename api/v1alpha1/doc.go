// Package v1alpha1 holds tombolo's API: the kinds of the group clusterset.tombolo.dev, the
// condition types and reasons that users read, and the keys of labels and annotations. Operator,
// gateways and dataplane exchange state through these kinds only.
//
// The types have no behaviour; the rules about them are in internal/clusterset. ServiceExport and
// ServiceImport are not here: they come from sigs.k8s.io/mcs-api.
//
// +kubebuilder:object:generate=true
// +groupName=clusterset.tombolo.dev
package v1alpha1
