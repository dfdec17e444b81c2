// Package corefile owns the change that makes a CoreDNS serve the zone clusterset.local: what to
// add to a Corefile, and how to remove exactly that again. It is pure: it reads no imported file,
// and does not know where a Corefile is kept.
//
// A change consists of insertions only, so every other byte stays as it is, comments and line
// endings included. The lexer that CoreDNS itself uses (github.com/coredns/caddy) decides what is a
// word, a quotation or a comment.
package corefile

import (
	"fmt"
	"strings"
)

// Zone is the zone of clusterset-wide names (KEP-1645, DNS).
const Zone = "clusterset.local"

// Refusal says why this package does not change a Corefile.
type Refusal struct {
	Line    int    // counted from 1; 0 means the whole Corefile
	Problem string // what is there
	Remedy  string // what the admin can do about it
}

func (r *Refusal) Error() string {
	if r.Line == 0 {
		return fmt.Sprintf("%s: %s", r.Problem, r.Remedy)
	}
	return fmt.Sprintf("line %d: %s: %s", r.Line, r.Problem, r.Remedy)
}

// isZone tells whether a word names the zone.
func isZone(word string) bool { return normal(word) == Zone }

// normal is a zone in lower case and without the final dot; the root is "".
func normal(zone string) string { return strings.ToLower(strings.TrimSuffix(zone, ".")) }

// within tells whether the name is the zone or below it.
func within(name, zone string) bool {
	zone = normal(zone)
	return zone == "" || name == zone || strings.HasSuffix(name, "."+zone)
}
