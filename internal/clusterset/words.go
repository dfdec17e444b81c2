package clusterset

import (
	"fmt"
	"net/netip"
	"strings"
)

// namedInMessage is how many things a message names in one place.
const namedInMessage = 5

// NameSome names the first five, and says how many more there are.
func NameSome[S ~string](names []S) string {
	var text strings.Builder
	for i, name := range names {
		switch {
		case i == namedInMessage:
			fmt.Fprintf(&text, " and %d more", len(names)-i)
			return text.String()
		case i > 0:
			text.WriteString(", ")
		}
		text.WriteString(string(name))
	}
	return text.String()
}

// JoinPrefixes names all the prefixes.
func JoinPrefixes(prefixes []netip.Prefix) string {
	texts := make([]string, 0, len(prefixes))
	for _, p := range prefixes {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, ", ")
}

// Clip shortens a text that somebody else wrote to limit bytes, for a message, and says how long it
// was.
func Clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + fmt.Sprintf("... (%d bytes)", len(text))
}
