//go:build tools

// Package kind pins the source of the program that hack/testbin builds from sigs.k8s.io/kind.
package kind

import _ "sigs.k8s.io/kind"
