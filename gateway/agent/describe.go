package agent

import (
	"strings"

	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
)

// describeTunnels says for the log what changed on each device.
func describeTunnels(change wireguard.Change) []string {
	var lines []string
	for _, d := range change.Devices {
		what := []string{d.Name}
		if d.Create {
			what = append(what, "created")
		}
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
