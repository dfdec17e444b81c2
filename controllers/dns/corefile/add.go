package corefile

import (
	"slices"
	"strings"
)

// Addition is one piece of text that Add inserted. Remove finds it by the text before it on its
// line, so it finds the addition even if lines above it were added or deleted.
type Addition struct {
	Line  int    `json:"line"`            // on which it begins, counted from 1, in the changed Corefile
	After string `json:"after,omitempty"` // what is before it on that line
	Text  string `json:"text"`
}

// insertion is text to insert at a byte of the source.
type insertion struct {
	at   int
	text string
}

// Add returns the Corefile with all that makes CoreDNS serve the zone, and what was added for that:
// nothing, if it serves the zone already. The error is a *Refusal.
//
// It adds the following wherever this cluster's own names are served. The zone becomes one of the
// kubernetes plugin's zones. If the server block would not be asked for the zone, it becomes one of
// the block's zones, too. `multicluster` names the zone. The cache leaves the zone out, because the
// kubernetes plugin answers from memory. With a cache, a name that was asked for before its import
// would stay unknown for as long as the cache keeps denials.
func (c *Corefile) Add() (string, []Addition, error) {
	insertions, err := c.missing()
	if err != nil {
		return "", nil, err
	}
	text, added := insert(c.source, insertions)
	if len(added) == 0 {
		return c.source, nil, nil
	}
	again, err := Parse(text)
	if err != nil {
		return "", nil, err
	}
	if left, err := again.missing(); err != nil || len(left) > 0 {
		return "", nil, &Refusal{added[0].Line, "tombolo cannot add to the kubernetes plugin as it is written here", "write it as CoreDNS's manual does"}
	}
	return text, added, nil
}

// insert applies the insertions. Those at the same place keep their order.
func insert(source string, insertions []insertion) (string, []Addition) {
	slices.SortStableFunc(insertions, func(a, b insertion) int { return a.at - b.at })
	var out strings.Builder
	var added []Addition
	done := 0
	for _, i := range insertions {
		out.WriteString(source[done:i.at])
		done = i.at
		before := out.String()
		added = append(added, Addition{
			Line:  1 + strings.Count(before, "\n"),
			After: before[strings.LastIndex(before, "\n")+1:],
			Text:  i.text,
		})
		out.WriteString(i.text)
	}
	out.WriteString(source[done:])
	return out.String(), added
}

// missing is what the Corefile lacks.
func (c *Corefile) missing() ([]insertion, error) {
	targets, err := c.targets()
	if err != nil {
		return nil, err
	}
	var all []insertion
	var done []*directive // a snippet may serve several blocks
	for _, t := range targets {
		if t.after != nil {
			last := t.block.keys[len(t.block.keys)-1]
			all = append(all, insertion{last.end, " " + t.after.scheme + Zone + t.after.port})
		}
		for _, d := range t.directives {
			if slices.Contains(done, d) {
				continue
			}
			done = append(done, d)
			switch {
			case d == t.plugin:
				found, err := c.inKubernetes(t)
				if err != nil {
					return nil, err
				}
				all = append(all, found...)
			case d.name() == "cache":
				all = append(all, c.inCache(d)...)
			}
		}
	}
	return all, nil
}

// inKubernetes is what the kubernetes plugin lacks. Without zones of its own it serves those of its
// server block.
func (c *Corefile) inKubernetes(t target) ([]insertion, error) {
	d := t.plugin
	var all []insertion
	switch zones := d.words[1:]; {
	case len(zones) > 0 && !slices.ContainsFunc(zones, func(z word) bool { return isZone(z.text) }):
		all = append(all, insertion{zones[len(zones)-1].end, " " + Zone})
	case len(zones) == 0 && t.after == nil && !slices.ContainsFunc(t.block.keys, func(k word) bool { return parseKey(k).zone == Zone }):
		return nil, &Refusal{d.words[0].line, "the kubernetes plugin has no zones of its own", "name them, as in `kubernetes cluster.local in-addr.arpa ip6.arpa`"}
	}
	switch p := d.last("multicluster"); {
	case p == nil:
		all = append(all, c.intoBraces(d, "multicluster "+Zone)...)
	case !slices.ContainsFunc(p[1:], func(z word) bool { return isZone(z.text) }):
		all = append(all, insertion{p[len(p)-1].end, " " + Zone})
	}
	return all, nil
}

// inCache is what the cache lacks in order to leave the zone out.
func (c *Corefile) inCache(d *directive) []insertion {
	zones := d.words[1:]
	if len(zones) > 0 && strings.Trim(zones[0].text, "0123456789") == "" {
		zones = zones[1:] // the first may be a TTL
	}
	if len(zones) > 0 && !coverZone(zones) {
		return nil
	}
	var all []insertion
	var lines []string
	for _, kind := range []string{"success", "denial"} {
		switch p := d.last("disable", kind); {
		case p == nil:
			lines = append(lines, "disable "+kind+" "+Zone)
		case len(p) > 2 && !coverZone(p[2:]):
			all = append(all, insertion{p[len(p)-1].end, " " + Zone})
		}
	}
	return append(all, c.intoBraces(d, lines...)...)
}

// coverZone tells whether one of the zones is the zone, or above it.
func coverZone(zones []word) bool {
	return slices.ContainsFunc(zones, func(z word) bool { return within(Zone, z.text) })
}

// intoBraces inserts lines at the start of the directive's braces, or adds braces for them.
func (c *Corefile) intoBraces(d *directive, lines ...string) []insertion {
	if len(lines) == 0 {
		return nil
	}
	indent, eol := c.indent(d.words[0]), c.lineEnd()
	inner := indent + indent
	if indent == "" {
		inner = "    "
	}
	if d.open == nil {
		return []insertion{{d.words[len(d.words)-1].end, " {" + eol + inner + strings.Join(lines, eol+inner) + eol + indent + "}"}}
	}
	if len(d.properties) > 0 && d.properties[0][0].line > d.open.line {
		inner = c.indent(d.properties[0][0])
	}
	var all []insertion
	rest, _, _ := strings.Cut(c.source[d.open.end:], "\n")
	at, after := d.open.end+len(strings.TrimRight(rest, "\r")), ""
	if words := strings.TrimLeft(rest, " \t\r"); words != "" && words[0] != '#' {
		at, after = d.open.end, eol+indent // the rest of the line stays inside the braces, or closes them
	}
	for i, line := range lines {
		if i == len(lines)-1 {
			line += after
		}
		all = append(all, insertion{at, eol + inner + line})
	}
	return all
}

// indent is the text before the word on its line, if that is blank.
func (c *Corefile) indent(w word) string {
	before := c.source[strings.LastIndex(c.source[:w.start], "\n")+1 : w.start]
	if strings.Trim(before, " \t") != "" {
		return ""
	}
	return before
}

// lineEnd is how the Corefile ends its lines.
func (c *Corefile) lineEnd() string {
	if first, _, found := strings.Cut(c.source, "\n"); found && strings.HasSuffix(first, "\r") {
		return "\r\n"
	}
	return "\n"
}
