//go:build tools

// Package runc pins the sources of the programs that hack/testbin builds from github.com/opencontainers/runc.
package runc

import _ "github.com/opencontainers/runc"
