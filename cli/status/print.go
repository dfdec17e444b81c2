package status

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/report"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// shown is how many Services the short form lists.
const shown = 20

// write writes the picture in one of the formats.
func write(out io.Writer, t topology.Topology, format string) error {
	if written, err := report.Object(out, format, t); written {
		return err
	}
	wide := format == "wide"
	fmt.Fprintf(out, "CLUSTERSET %s\n\n", cmp.Or(t.ClusterSet, "<none>"))
	for _, table := range []func() (headings []string, rows [][]string){
		func() ([]string, [][]string) { return hubs(t) },
		func() ([]string, [][]string) { return clusters(t, wide) },
		func() ([]string, [][]string) { return remotes(t) },
		func() ([]string, [][]string) { return links(t, wide) },
		func() ([]string, [][]string) { return gateways(t, wide) },
		func() ([]string, [][]string) { return services(t, wide) },
	} {
		headings, rows := table()
		if len(rows) == 0 {
			continue
		}
		if err := report.Table(out, headings, rows); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	if hidden := len(t.Services) - shown; !wide && hidden > 0 {
		fmt.Fprintf(out, "... and %d more Services: --namespace shows those of one namespace, -o wide shows all\n\n", hidden)
	}
	report.Findings(out, t.Findings)
	return nil
}

func clusters(t topology.Topology, wide bool) (headings []string, rows [][]string) {
	headings = []string{"CLUSTER", "HUB", "DNS", "GATEWAYS", "NODES", "EXPORTS", "IMPORTS"}
	if wide {
		headings = append(headings, "CONTEXT", "REGION", "CIDRS")
	}
	for _, c := range t.Clusters {
		row := []string{string(c.ID), "<not asked>", "-", "-", "-", "-", "-"}
		if c.Context != "" {
			ready := 0
			for _, g := range c.Gateways {
				if g.State == topology.GatewayReady {
					ready++
				}
			}
			row = []string{string(c.ID), cmp.Or(c.Hub, "<none>"), cmp.Or(c.DNS, "<none>"), fmt.Sprintf("%d/%d", ready, len(c.Gateways)),
				fmt.Sprintf("%d/%d", c.NodesServing, c.Nodes), fmt.Sprint(c.Exports), fmt.Sprint(c.Imports)}
		}
		if wide {
			row = append(row, cmp.Or(c.Context, "-"), cmp.Or(c.Region, "-"), joined(c.CIDRs))
		}
		rows = append(rows, row)
	}
	return headings, rows
}

// hubs are the members as hubs have them.
func hubs(t topology.Topology) (headings []string, rows [][]string) {
	for _, h := range t.Hubs {
		for _, m := range h.Members {
			heard := "never"
			switch {
			case m.Removed:
				heard = "removed"
			case m.Heartbeat != nil:
				heard = duration.HumanDuration(time.Duration(m.AgeSeconds)*time.Second) + " ago"
			}
			rows = append(rows, []string{h.Context + "/" + h.Namespace, string(m.ID), fmt.Sprint(m.Index), heard, fmt.Sprint(m.Gateways), used(m.Exports), used(m.Slices), used(m.Endpoints)})
		}
	}
	return []string{"HUB", "MEMBER", "INDEX", "HEARD OF", "GATEWAYS", "EXPORTS", "SLICES", "ENDPOINTS"}, rows
}

// used says how many of the things that may be are there.
func used(u topology.Use) string { return fmt.Sprintf("%d/%d", u.Used, u.Limit) }

func remotes(t topology.Topology) (headings []string, rows [][]string) {
	for _, c := range t.Clusters {
		for _, r := range c.Remotes {
			reachable := "yes"
			if !r.Reachable {
				reachable = "NO"
			}
			loss := "-"
			if r.LossPercent != nil {
				loss = fmt.Sprintf("%d %%", *r.LossPercent)
			}
			rows = append(rows, []string{string(c.ID), string(r.ID), reachable, fmt.Sprintf("%d/%d", r.LinksUp, r.LinksTotal), rtt(r.RTTMilliseconds), loss})
		}
	}
	return []string{"FROM", "TO", "REACHABLE", "LINKS", "RTT", "LOSS"}, rows
}

// links are all of them if wide, else those that are not up or do not stay so.
func links(t topology.Topology, wide bool) (headings []string, rows [][]string) {
	for _, c := range t.Clusters {
		for _, r := range c.Remotes {
			for _, l := range r.Links {
				if wide || l.State != v1alpha1.LinkUp || l.Flapping {
					rows = append(rows, []string{string(c.ID) + "/" + l.Gateway, string(r.ID) + "/" + l.RemoteGateway, string(l.State),
						rtt(l.RTTMilliseconds), fmt.Sprintf("%d %%", l.LossPercent), cmp.Or(l.Message, "-")})
				}
			}
		}
	}
	return []string{"GATEWAY", "REMOTE GATEWAY", "LINK", "RTT", "LOSS", "MESSAGE"}, rows
}

// gateways are all of them if wide, else those that are not ready.
func gateways(t topology.Topology, wide bool) (headings []string, rows [][]string) {
	for _, c := range t.Clusters {
		for _, g := range c.Gateways {
			if !wide && g.State == topology.GatewayReady {
				continue
			}
			lane := "-"
			if g.Lane != nil {
				lane = fmt.Sprint(*g.Lane)
			}
			rows = append(rows, []string{string(c.ID), g.Name, string(g.State), lane, cmp.Or(g.Endpoint, "-")})
		}
	}
	return []string{"CLUSTER", "GATEWAY", "STATE", "LANE", "ENDPOINT"}, rows
}

func services(t topology.Topology, wide bool) (headings []string, rows [][]string) {
	headings = []string{"NAMESPACE", "SERVICE", "TYPE", "CLUSTERSET IP", "PORTS", "READY ENDPOINTS", "IMPORTED BY"}
	for i := range t.Services {
		if i == shown && !wide {
			break
		}
		rows = append(rows, service(&t.Services[i]))
	}
	return headings, rows
}

// service is a row. Clusters have their own clusterset IPs, which are equal as a rule.
func service(s *topology.Service) []string {
	var types, ips, ports, importers []string
	from := map[v1alpha1.ClusterID]topology.Exporter{}
	for _, e := range s.Exports {
		from[e.Cluster] = topology.Exporter{Cluster: e.Cluster}
	}
	for _, i := range s.Imports {
		importers = append(importers, string(i.Cluster))
		types, ips, ports = append(types, i.Type), append(ips, i.IPs...), append(ports, i.Ports...)
		for _, e := range i.From {
			if e.Endpoints >= from[e.Cluster].Endpoints {
				from[e.Cluster] = e
			}
		}
	}
	var ready []string
	for _, e := range from {
		ready = append(ready, fmt.Sprintf("%s %d/%d", e.Cluster, e.Ready, e.Endpoints))
	}
	slices.Sort(ready)
	return []string{s.Namespace, s.Name, set(types), set(ips), set(ports), set(ready), set(importers)}
}

// set is each of the words once.
func set(words []string) string {
	slices.Sort(words)
	return cmp.Or(strings.Join(slices.Compact(words), ","), "-")
}

func joined[S ~string](all []S) string {
	words := make([]string, 0, len(all))
	for _, s := range all {
		words = append(words, string(s))
	}
	return cmp.Or(strings.Join(words, ","), "-")
}

func rtt(milliseconds int32) string {
	if milliseconds == 0 {
		return "-"
	}
	return fmt.Sprintf("%d ms", milliseconds)
}
