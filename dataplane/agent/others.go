package agent

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// others are the programs that undo what the agent keeps in the kernel, as far as it has repaired
// that, by the part of the kernel.
type others map[string]interference

// interference is what others did to one part since it was last calm.
type interference struct {
	// times is how often, and counted when that was last counted.
	times   int
	counted time.Time
	// last is when it was last seen.
	last time.Time
	// first is what was repaired at first, in words.
	first string
}

const (
	// calm is how long nothing must be repaired until others count as gone.
	calm = 10 * time.Minute
	// apart is how far two repairs must be apart to count as two: one program may take a second to
	// remove all.
	apart = 2 * time.Second
	// again is how often others must have been seen: once may be an admin's restart of a firewall.
	again = 2
)

// record takes note of a repair.
func (o *others) record(part string, mended []string, now time.Time) {
	if *o == nil {
		*o = others{}
	}
	i := (*o)[part]
	if now.Sub(i.last) >= calm {
		i = interference{first: someOf(mended)}
	}
	if now.Sub(i.counted) >= apart {
		i.times, i.counted = i.times+1, now
	}
	i.last = now
	(*o)[part] = i
}

// keepOn reports whether others undo that part again and again.
func (o others) keepOn(part string) bool { return o[part].times >= again }

// forget forgets that part.
func (o others) forget(part string) { delete(o, part) }

// calmed forgets the parts that are calm again, and reports whether there were any.
func (o others) calmed(now time.Time) (any bool) {
	for part, i := range o {
		if now.Sub(i.last) >= calm {
			delete(o, part)
			any = any || i.times >= again
		}
	}
	return any
}

// errOthers is that others undo what the agent keeps in the kernel.
var errOthers = errors.New("another program undoes again and again what tombolo keeps in this node's kernel, and each time flows may end")

// remedies are what helps, by the part of the kernel.
var remedies = map[string]string{
	"services": "let it spare the IPVS table and nftables' inet tombolo-services, or set backend to auto in spec.dataplane of the ClusterSet",
	"filter":   "let it delete only its own nftables tables, not all (`nft flush ruleset`)",
	"routes":   "let it spare routes and rules with protocol 148, and tombolo-vx (systemd-networkd: ManageForeignRoutes=no and ManageForeignRoutingPolicyRules=no)",
	"sysctls":  "correct the values in its configuration or in /etc/sysctl.d",
	"firewall": "let it spare nftables' inet tombolo-node and the rules that have the comment tombolo",
}

// problem names what others undo again and again, with the remedies; nil if they do not. Its text
// stays the same while they go on.
func (o others) problem() error {
	var all []string
	for _, part := range slices.Sorted(maps.Keys(o)) {
		if o.keepOn(part) {
			all = append(all, fmt.Sprintf("%s: %s", o[part].first, remedies[part]))
		}
	}
	if len(all) == 0 {
		return nil
	}
	return fmt.Errorf("%w: stop it, or: %s", errOthers, strings.Join(all, "; "))
}
