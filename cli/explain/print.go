package explain

import (
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/tombolo-net/tombolo/cli/report"
	"github.com/tombolo-net/tombolo/internal/explain"
)

// shown is how many endpoints of a port the short form lists.
const shown = 10

// write writes the answer in one of the formats.
func write(out io.Writer, a explain.Answer, format string) error {
	if written, err := report.Object(out, format, a); written {
		return err
	}
	fmt.Fprintf(out, "%s, from %s\n\n", a.Name, clientText(a.Client))
	hops(out, a.Hops)
	wide := format == "wide"
	if a.Decision != nil && a.Cause == nil {
		if err := decision(out, *a.Decision, wide); err != nil {
			return err
		}
	}
	if a.IfDown == nil {
		return nil
	}
	fmt.Fprintf(out, "\nIf cluster %s were down:\n", a.IfDown.Cluster)
	return decision(out, a.IfDown.Decision, wide)
}

func clientText(c explain.Client) string {
	text := "cluster " + string(c.Cluster)
	if c.Node != "" {
		text = "node " + c.Node + " of " + text
	}
	if c.Pod != "" {
		text = "pod " + c.Pod + " on " + text
	}
	return text
}

// mark is the sign of the state.
func mark(s explain.State) report.Mark {
	return map[explain.State]report.Mark{explain.Good: report.Good, explain.Warning: report.Warn, explain.Failed: report.Bad,
		explain.Unknown: report.Unclear, explain.NotLookedAt: report.Skipped}[s]
}

func hops(out io.Writer, all []explain.Hop) {
	painter := report.NewPainter(out)
	names, clusters := 0, 0
	for _, h := range all {
		names, clusters = max(names, len(h.Name)), max(clusters, len(h.Cluster))
	}
	for _, h := range all {
		message := h.Message
		if h.State == explain.NotLookedAt {
			message = "not looked at"
		}
		if h.Looked != "" {
			message = h.Looked + ": " + message
		}
		fmt.Fprintf(out, "%s %-*s  %-*s  %s\n", painter.Paint(mark(h.State)), names, h.Name, clusters, h.Cluster, message)
	}
}

// decision writes where flows to each port go, and why each endpoint is in or out.
func decision(out io.Writer, d explain.Decision, wide bool) error {
	for i := range d.Ports {
		p := &d.Ports[i]
		fmt.Fprintf(out, "\n%s/%s: %s\n", netip.AddrPortFrom(p.Address, p.Port), p.Protocol, p.Outcome)
		if wide {
			if err := levels(out, p); err != nil {
				return err
			}
		}
		var rows [][]string
		for _, e := range p.Endpoints {
			if len(rows) == shown && !wide {
				break
			}
			in := "out"
			if e.Weight > 0 {
				in = fmt.Sprintf("in, weight %d", e.Weight)
			}
			rows = append(rows, []string{netip.AddrPortFrom(e.Address, e.Port).String(), string(e.Cluster), dash(e.Zone), fmt.Sprint(e.Level), in, e.Why})
		}
		if err := report.Table(out, []string{"ENDPOINT", "CLUSTER", "ZONE", "LEVEL", "FLOWS", "WHY"}, rows); err != nil {
			return err
		}
		if hidden := len(p.Endpoints) - len(rows); hidden > 0 {
			fmt.Fprintf(out, "... and %d more endpoints: -o wide shows all\n", hidden)
		}
	}
	return nil
}

func levels(out io.Writer, p *explain.Port) error {
	var rows [][]string
	for i, l := range p.Levels {
		rows = append(rows, []string{fmt.Sprint(i + 1), l.Name, fmt.Sprintf("%d/%d", l.Ready, l.Endpoints), fmt.Sprintf("%.4g %%", l.SharePercent), dash(l.Note)})
	}
	return report.Table(out, []string{"LEVEL", "NAME", "READY", "NEW FLOWS", "NOTE"}, rows)
}

func dash(text string) string {
	if strings.TrimSpace(text) == "" {
		return "-"
	}
	return text
}
