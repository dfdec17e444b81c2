package agent

import (
	"slices"
	"strings"
	"testing"
)

// A repair of many things fits into an event, with the remedy at its end.
func TestMendedFits(t *testing.T) {
	a, _, _ := keyAgent(t, &disk{}, nil, nil)
	notes := &told{}
	a.cfg.Events = notes
	for p, remedy := range spare {
		a.mended(t.Context(), p, slices.Repeat([]string{strings.Repeat("x", 300)}, 50)...)
		if note := notes.notes[len(notes.notes)-1]; len(note) > 1024 || !strings.HasSuffix(note, remedy) {
			t.Errorf("%s: %d bytes, which end with %q", p, len(note), note[len(note)-40:])
		}
	}
}
