// Package v1alpha1 holds tombolo's API: the kinds of the group clusterset.tombolo.dev, the condition types
// and reasons that users read, the label keys, and the names and addresses that every cluster of a
// clusterset derives in the same way. Operator, gateways and dataplane meet here and nowhere else.
//
// It does not hold ServiceExport and ServiceImport: they come from sigs.k8s.io/mcs-api.
//
// +kubebuilder:object:generate=true
// +groupName=clusterset.tombolo.dev
package v1alpha1
