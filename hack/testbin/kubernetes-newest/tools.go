//go:build tools

// Package kubernetesnewest pins the newest release of Kubernetes that tombolo is tested with, for `make test-skew`.
package kubernetesnewest

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
