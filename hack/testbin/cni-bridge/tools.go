//go:build tools

// Package bridge pins the source of the plugin that connects pods where flannel runs. The folder cni
// pins those that the lab needs.
package bridge

import _ "github.com/containernetworking/plugins/plugins/main/bridge"
