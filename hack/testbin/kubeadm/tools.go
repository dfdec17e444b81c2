//go:build tools

// Package kubeadm pins the source of the program that hack/testbin builds from k8s.io/kubernetes.
package kubeadm

import _ "k8s.io/kubernetes/cmd/kubeadm"
