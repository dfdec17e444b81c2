package filter

import (
	"time"

	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

// strayed is the set of the devices, and the sources, of packets that strayedRules saw lately. Only IPv4
// has reverse path filters.
const (
	strayed      = "strayed4"
	strayedSize  = 64
	strayedAfter = 2 * time.Minute
)

func strayedSet() firewall.Set {
	return firewall.Set{Name: strayed, Type: "iface_index . ipv4_addr", Size: strayedSize, Timeout: strayedAfter}
}

// strayedRules note packets of other clusters to pods that come in by a device by which no answer would
// leave. A strict reverse path filter of that device drops them.
func (in Input) strayedRules() []string {
	ip := families[0]
	far := byFamily(in.Remote)[ip]
	if len(far) == 0 {
		return nil
	}
	return []string{"iifname != " + ourDevices + " ip saddr " + nft.Set(far) + " fib daddr type unicast fib saddr . iif oif missing add @" + strayed + " { iif . ip saddr }"}
}
