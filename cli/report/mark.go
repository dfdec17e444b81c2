package report

import (
	"io"
	"os"

	"github.com/fatih/color"
	"golang.org/x/term"
)

// Mark is the sign before a line that says how something is.
type Mark string

// The marks. They differ in shape as well as in colour.
const (
	Good Mark = "✓"
	Warn Mark = "!"
	Bad  Mark = "✗"
	// Unclear: it could not be looked at. Skipped: nobody looked.
	Unclear Mark = "?"
	Skipped Mark = "-"
)

// Painter colours marks.
type Painter struct{ on bool }

// NewPainter returns a Painter for what is written to out: it colours on a terminal, unless the
// environment has NO_COLOR (no-color.org).
func NewPainter(out io.Writer) Painter {
	return Painter{on: IsTerminal(out) && os.Getenv("NO_COLOR") == ""}
}

// Paint returns the mark, coloured.
func (p Painter) Paint(m Mark) string {
	c := color.New(map[Mark]color.Attribute{Good: color.FgGreen, Warn: color.FgYellow, Bad: color.FgRed, Unclear: color.FgYellow, Skipped: color.Faint}[m])
	if p.on {
		c.EnableColor()
	} else {
		c.DisableColor()
	}
	return c.Sprint(string(m))
}

// IsTerminal tells whether somebody looks at what is written to out.
func IsTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
