//go:build tools

// Package kubernetesoldest pins the oldest release of Kubernetes that tombolo supports, for `make test-skew`.
package kubernetesoldest

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
