package agent

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
)

// describeTunnels says for the log what changed on each device.
func describeTunnels(change wireguard.Change) []string {
	var lines []string
	for _, d := range change.Devices {
		what := append([]string{d.Name}, describeDevice(d)...)
		for _, p := range d.Peers {
			switch {
			case p.Add:
				what = append(what, "added "+p.PublicKey.String())
			case p.Remove:
				what = append(what, "removed "+p.PublicKey.String())
			default:
				what = append(what, "changed "+p.PublicKey.String())
			}
		}
		lines = append(lines, strings.Join(what, " "))
	}
	return lines
}

// describeDevice names what changed but for the peers.
func describeDevice(d wireguard.DeviceChange) (what []string) {
	if d.Create {
		return []string{"created"}
	}
	for _, property := range []struct {
		name    string
		changed bool
	}{
		{"up", d.SetUp}, {"private-key", d.PrivateKey != nil}, {"listen-port", d.ListenPort != nil}, {"mtu", d.MTU != 0},
		{"rp_filter", d.LooseRPFilter}, {"addresses", len(d.AddAddresses)+len(d.RemoveAddresses) > 0}, {"allowed-ips", len(d.RemovePrefixes) > 0},
	} {
		if property.changed {
			what = append(what, property.name)
		}
	}
	return what
}

// describeRoutes says for the log where each route leads.
func describeRoutes(routes []route.Route) []string {
	var lines []string
	for _, r := range routes {
		how := strings.Join(r.Links(), ",")
		if r.Type == route.Unreachable {
			how = "unreachable"
		}
		lines = append(lines, r.Destination.String()+" "+how)
	}
	return lines
}

// describeMended says what others had done to routes and rules.
func describeMended(change route.Change) []string {
	var what []string
	for _, r := range change.SetRoutes {
		what = append(what, "the route to "+r.Destination.String())
	}
	for _, r := range change.DeleteRoutes {
		what = append(what, "another route to "+r.Destination.String())
	}
	for _, r := range slices.Concat(change.AddRules, change.DeleteRules) {
		what = append(what, fmt.Sprintf("the rule with priority %d", r.Priority))
	}
	return slices.Compact(what)
}
