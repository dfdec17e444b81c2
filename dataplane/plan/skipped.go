package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// maxSkipped is how many things are named in Output.Skipped; one more line counts the rest.
const maxSkipped = 20

// maxName is how many bytes of a name or text that others wrote a message repeats.
const maxName = 64

// skip is something left out, before it becomes a message.
type skip struct {
	what    skippedKind
	name    string
	cluster v1alpha1.ClusterID
	why     string
}

type skippedKind uint8

const (
	skippedIP skippedKind = iota
	skippedPort
	skippedFamily
	skippedSlice
	skippedEndpoint
)

func (s skip) compare(other skip) int {
	return cmp.Or(cmp.Compare(s.what, other.what), cmp.Compare(s.cluster, other.cluster), cmp.Compare(s.name, other.name), cmp.Compare(s.why, other.why))
}

// words for it, of bounded length.
func (s skip) words() Skipped {
	name := clip(s.name)
	var what string
	switch s.what {
	case skippedIP:
		what = fmt.Sprintf("clusterset IP %q", name)
	case skippedPort:
		what = "port " + s.name // bounded by whoever made it
	case skippedFamily:
		what = name + " endpoints"
	case skippedSlice:
		what = "EndpointSlice " + name
	case skippedEndpoint:
		what = fmt.Sprintf("endpoint %q of cluster %s", name, s.cluster)
	}
	return Skipped{What: what, Why: s.why, Count: 1}
}

// clip keeps the first maxName bytes of what others wrote.
func clip(s string) string {
	if len(s) <= maxName {
		return s
	}
	return s[:maxName] + "..."
}

// skippedOf says what is left out, sorted and without duplicates: the first maxSkipped, and how
// many more there are.
func skippedOf(all []skip) []Skipped {
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, skip.compare)
	all = slices.Compact(all)
	named := all[:min(len(all), maxSkipped)]
	words := make([]Skipped, 0, len(named)+1)
	for _, s := range named {
		words = append(words, s.words())
	}
	if more := len(all) - len(named); more > 0 {
		words = append(words, Skipped{What: fmt.Sprintf("%d more", more), Why: "as those above, or for other reasons", Count: more})
	}
	return words
}
