// Package config holds tombolo's manifests, so that a program may install them.
package config

import "embed"

// Files are the folders that kustomize builds, as they are in config/.
//
//go:embed coredns crd dataplane default gateway hub operator rbac userspace-wireguard
var Files embed.FS
