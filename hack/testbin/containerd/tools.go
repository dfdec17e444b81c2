//go:build tools

// Package containerd pins the sources of the programs that hack/testbin builds from github.com/containerd/containerd/v2.
package containerd

import (
	_ "github.com/containerd/containerd/v2/cmd/containerd"
	_ "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"
	_ "github.com/containerd/containerd/v2/cmd/ctr"
)
