package corefile

import (
	"fmt"
	"slices"
	"strings"
)

// probe is a name that a server block must accept in order to serve the zone.
const probe = "svc." + Zone

// key is a server block's key: scheme://zone:port.
type key struct {
	word         word
	scheme, port string // "" for CoreDNS's own
	zone         string // in lower case, without the final dot; the root is ""
}

func parseKey(w word) key {
	k := key{word: w}
	text := strings.TrimSuffix(w.text, ",")
	if scheme, rest, found := strings.Cut(text, "://"); found {
		k.scheme, text = scheme+"://", rest
	}
	if i := strings.LastIndex(text, ":"); i >= 0 && strings.Trim(text[i+1:], "0123456789") == "" {
		text, k.port = text[:i], text[i:]
	}
	k.zone = normal(text)
	return k
}

// listener is the socket that the key's server listens on. Server blocks with different zones share
// it.
func (k key) listener() string {
	scheme, port := k.scheme, k.port
	if scheme == "" {
		scheme = "dns://"
	}
	if port == "" {
		port = ":53"
	}
	return scheme + port
}

// target is a server block that should serve the zone, with the kubernetes plugin that does it.
type target struct {
	block      *block
	plugin     *directive
	directives []*directive // all of the block's
	after      *key         // the zone must become a key of the block, after this one; nil: the block accepts its names already
}

// targets are the server blocks that should serve the zone, at least one.
func (c *Corefile) targets() ([]target, error) {
	var targets []target
	var done []string
	for _, b := range c.blocks {
		if b.snippet() != "" || c.plugin(b) == nil {
			continue
		}
		for _, w := range b.keys {
			listener := parseKey(w).listener()
			if slices.Contains(done, listener) {
				continue
			}
			done = append(done, listener)
			found, err := c.onListener(listener)
			if err != nil {
				return nil, err
			}
			targets = append(targets, found...)
		}
	}
	if len(targets) == 0 {
		return nil, &Refusal{Problem: "no server block has a kubernetes plugin for this cluster's own zone",
			Remedy: "add one, such as `kubernetes cluster.local in-addr.arpa ip6.arpa`; tombolo does not read imported files: " +
				"if it is in one, add " + Zone + " to its zones and `multicluster " + Zone + "` to its block, and set spec.dns to Manual"}
	}
	return targets, nil
}

// onListener returns the targets among the server blocks of one listener: those that accept the
// zone's names already, else those of the cluster's own zone.
func (c *Corefile) onListener(listener string) ([]target, error) {
	best, holders := "", []*block(nil)
	var homes []target
	for _, b := range c.blocks {
		if b.snippet() != "" {
			continue
		}
		home := false
		for _, w := range b.keys {
			k := parseKey(w)
			if k.listener() != listener {
				continue
			}
			if plugin := c.plugin(b); plugin != nil && !home {
				home = true
				homes = append(homes, target{b, plugin, c.directives(b), &k})
			}
			switch {
			case !within(probe, k.zone) || len(holders) > 0 && len(k.zone) < len(best):
			case len(holders) > 0 && k.zone == best:
				holders = append(holders, b)
			default:
				best, holders = k.zone, []*block{b}
			}
		}
	}
	var found []target
	for _, h := range homes {
		for _, b := range holders {
			if h.block == b {
				found = append(found, target{h.block, h.plugin, h.directives, nil})
			}
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case best != "":
		return nil, &Refusal{holders[0].keys[0].line, fmt.Sprintf("the server block of %s gets the queries for %s, but has no kubernetes plugin", best, Zone),
			"remove that block"}
	}
	return homes[:min(1, len(homes))], nil
}

// plugin is the block's kubernetes plugin that serves the zone, or else this cluster's own; nil if
// there is none.
func (c *Corefile) plugin(b *block) *directive {
	var own *directive
	for _, d := range c.directives(b) {
		if d.name() != "kubernetes" || d.last("endpoint") != nil || d.last("kubeconfig") != nil {
			continue // no kubernetes plugin, or another cluster's
		}
		zones := d.words[1:]
		if len(zones) == 0 {
			zones = b.keys
		}
		for _, z := range zones {
			zone := parseKey(z).zone
			if zone == Zone {
				return d
			}
			if own == nil && !strings.HasSuffix(zone, ".arpa") && !strings.Contains(zone, "/") {
				own = d
			}
		}
	}
	return own
}
