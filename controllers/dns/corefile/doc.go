// Package corefile owns the change that makes a CoreDNS serve the zone clusterset.local: what to add to a Corefile, and
// how to take just that away again. It is pure: it reads no imported file, and knows nothing of where a Corefile is kept.
//
// A change consists of insertions only, so that every other byte stays as it is, comments and line endings included.
// What is a word, a quotation and a comment is decided by the lexer that CoreDNS itself uses (github.com/coredns/caddy).
package corefile

import (
	"fmt"
	"strings"
)

// Zone is the zone of clusterset-wide names (KEP-1645, DNS).
const Zone = "clusterset.local"

// Refusal says why a Corefile is left as it is.
type Refusal struct {
	Line    int    // counted from 1; 0: the whole
	Problem string // what is there
	Remedy  string // what to do about it
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
