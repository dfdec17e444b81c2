//go:build tools

// Package crictl pins the source of the program that hack/testbin builds from sigs.k8s.io/cri-tools.
package crictl

import _ "sigs.k8s.io/cri-tools/cmd/crictl"
