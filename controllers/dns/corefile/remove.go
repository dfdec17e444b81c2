package corefile

import (
	"slices"
	"strings"
)

// Remove removes what Add added, and leaves the rest as it is now. An addition that somebody has
// changed is no longer found by its text. Remove then looks for it by its meaning. An addition that
// somebody has deleted is ignored. The error is a *Refusal.
func Remove(source string, added []Addition) (string, error) {
	if _, err := Parse(source); err != nil {
		return "", err
	}
	text := source
	var changed []Addition
	for _, a := range slices.Backward(added) {
		at := a.find(text)
		if at < 0 {
			changed = append(changed, a)
			continue
		}
		text = text[:at] + text[at+len(a.Text):]
	}
	for _, a := range changed {
		for _, is := range a.meanings() {
			c, err := Parse(text)
			if err != nil {
				return "", err
			}
			text = c.without(is, a.Line)
		}
	}
	return text, check(text)
}

// find returns where the addition is in the text, the place nearest to where it was; -1 if it is
// nowhere.
func (a Addition) find(text string) int {
	best, distance := -1, 0
	line, start := 1, 0
	for start <= len(text) {
		rest := text[start:]
		if strings.HasPrefix(rest, a.After+a.Text) && boundary(rest[len(a.After+a.Text):]) {
			if d := max(line-a.Line, a.Line-line); best < 0 || d < distance {
				best, distance = start+len(a.After), d
			}
		}
		next := strings.IndexByte(rest, '\n')
		if next < 0 {
			break
		}
		line, start = line+1, start+next+1
	}
	return best
}

// meaning is a place where Add puts the zone.
type meaning int

const (
	inKey meaning = iota
	inZones
	inMulticluster
	inSuccess
	inDenial
)

// meanings are those of the lines in an addition. An addition inside a line has the meaning of that
// line.
func (a Addition) meanings() []meaning {
	var all []meaning
	if !strings.Contains(a.Text, "\n") {
		return []meaning{lineMeaning(a.After)}
	}
	for line := range strings.Lines(a.Text) {
		if strings.Contains(line, Zone) {
			all = append(all, lineMeaning(line))
		}
	}
	return all
}

func lineMeaning(line string) meaning {
	words := append(strings.Fields(line), "", "")
	switch {
	case words[0] == "kubernetes":
		return inZones
	case words[0] == "multicluster":
		return inMulticluster
	case words[0] == "disable" && words[1] == "success":
		return inSuccess
	case words[0] == "disable":
		return inDenial
	}
	return inKey
}

// without is the source without the zone at the place of that meaning that is nearest to the line.
func (c *Corefile) without(is meaning, line int) string {
	var nearest *place
	for _, p := range c.places(is) {
		if nearest == nil || max(p.line-line, line-p.line) < max(nearest.line-line, line-nearest.line) {
			nearest = &p
		}
	}
	if nearest == nil {
		return c.source
	}
	return c.source[:nearest.start] + c.source[nearest.end:]
}

// place is a stretch of the source, in bytes.
type place struct{ line, start, end int }

// places are where the zone is, in that meaning.
func (c *Corefile) places(is meaning) []place {
	var all []place
	for _, b := range c.blocks {
		if is == inKey && len(b.keys) > 1 {
			all = append(all, c.zoneIn(b.keys[1:])...)
		}
		for _, d := range b.directives {
			switch {
			case is == inZones && d.name() == "kubernetes":
				all = append(all, c.zoneIn(d.words[1:])...)
			case is == inMulticluster && d.name() == "kubernetes":
				all = append(all, c.zoneInProperty(d, 1, "multicluster")...)
			case is == inSuccess && d.name() == "cache":
				all = append(all, c.zoneInProperty(d, 2, "disable", "success")...)
			case is == inDenial && d.name() == "cache":
				all = append(all, c.zoneInProperty(d, 2, "disable", "denial")...)
			}
		}
	}
	return all
}

// zoneIn are the places of the zone among the words, with the blanks before it.
func (c *Corefile) zoneIn(words []word) []place {
	var all []place
	for _, w := range words {
		if parseKey(w).zone == Zone {
			before := c.source[:w.start]
			all = append(all, place{w.line, len(strings.TrimRight(before, " \t")), w.end})
		}
	}
	return all
}

// zoneInProperty is the place of the zone among a property's words after the first n. It is the
// whole line if there are no other zones.
func (c *Corefile) zoneInProperty(d *directive, n int, names ...string) []place {
	p := d.last(names...)
	if len(p) != n+1 {
		if len(p) == 0 {
			return nil
		}
		return c.zoneIn(p[n:])
	}
	if !isZone(p[n].text) {
		return nil
	}
	start := strings.TrimRight(c.source[:p[0].start], " \t")
	return []place{{p[0].line, len(strings.TrimSuffix(strings.TrimSuffix(start, "\n"), "\r")), p[n].end}}
}

// check refuses a Corefile that CoreDNS would refuse because of what was removed.
func check(text string) error {
	c, err := Parse(text)
	if err != nil {
		return err
	}
	for _, b := range c.blocks {
		for _, d := range b.directives {
			if d.name() != "kubernetes" || len(d.words) == 1 || len(c.zoneIn(d.words[1:])) > 0 {
				continue
			}
			if p := d.last("multicluster"); p != nil && len(c.zoneIn(p[1:])) > 0 {
				return &Refusal{p[0].line, "`multicluster " + Zone + "` was changed since tombolo added it", "remove it by hand"}
			}
		}
	}
	return nil
}
