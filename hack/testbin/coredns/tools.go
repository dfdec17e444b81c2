//go:build tools

// Package coredns pins the sources of the programs that hack/testbin builds from github.com/coredns/coredns.
package coredns

import _ "github.com/coredns/coredns"
