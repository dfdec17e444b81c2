//go:build tools

// Package etcd pins the sources of the programs that hack/testbin builds from go.etcd.io/etcd/server/v3.
package etcd

import _ "go.etcd.io/etcd/server/v3"
