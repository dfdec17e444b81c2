// Package tunnel says which links of a node are the gateway's tunnels to other clusters. It changes
// none.
package tunnel

import (
	"strconv"
	"strings"
)

// namePrefix is what a tunnel's name begins with; the lane of the remote gateways that it talks to
// follows.
const namePrefix = "tombolo"

// Alias is the alias of the TUNs that serve WireGuard in the agent. It tells them from others' TUNs.
const Alias = "tombolo userspace WireGuard"

// Name is the name of the tunnel to remote gateways of that lane.
func Name(lane int) string { return namePrefix + strconv.Itoa(lane) }

// IsName reports whether a tunnel has such a name: "tombolo0" to "tombolo99".
func IsName(name string) bool {
	digits, ok := strings.CutPrefix(name, namePrefix)
	if !ok || digits == "" || len(digits) > 2 {
		return false
	}
	return strings.Trim(digits, "0123456789") == ""
}
