package testbin

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// List writes a table of the set's programs: name, version and state: "missing",
// "changed" (run Ensure) or "ready" with where it comes from. It judges as Dir
// does, without reading the programs.
func List(w io.Writer, set string) error {
	cache, err := CacheDir()
	if err != nil {
		return err
	}
	recipes, err := pinnedRecipes(set)
	if err != nil {
		return err
	}
	return newStore(cache, recipes).list(w)
}

func (s *store) list(w io.Writer) error {
	unverified, err := s.unverified()
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tVERSION\tSTATE")
	for _, r := range s.recipes {
		version, state := s.state(r, slices.Contains(unverified, r.name))
		fmt.Fprintf(table, "%s\t%s\t%s\n", r.name, version, state)
	}
	return table.Flush()
}

func (s *store) state(r recipe, unverified bool) (version, state string) {
	rec, err := s.readRecord(r)
	switch {
	case errors.Is(err, errNoEntry):
		return r.version, "missing"
	case err != nil || unverified:
		return r.version, "changed"
	case rec.Took != "":
		return rec.Version, "ready, " + rec.Origin + " in " + rec.Took
	default:
		return rec.Version, "ready, " + rec.Origin
	}
}
