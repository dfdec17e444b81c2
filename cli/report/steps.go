package report

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/briandowns/spinner"
)

// Steps tells what a command does, a line for each step.
type Steps struct {
	out     io.Writer
	painter Painter
}

// NewSteps returns Steps that write to out.
func NewSteps(out io.Writer) *Steps { return &Steps{out: out, painter: NewPainter(out)} }

// Do runs one step. On a terminal a spinner shows that it goes on, with what say was told last; then
// a line says how it ended and what it took.
func (s *Steps) Do(ctx context.Context, what string, step func(ctx context.Context, say func(string)) error) error {
	wheel := spinner.New(spinner.CharSets[14], 100*time.Millisecond, spinner.WithWriter(s.out))
	wheel.Suffix = " " + what
	if IsTerminal(s.out) {
		wheel.Start()
	}
	began := time.Now()
	err := step(ctx, func(now string) {
		wheel.Lock()
		defer wheel.Unlock()
		wheel.Suffix = fmt.Sprintf(" %s: %s", what, now)
	})
	wheel.Stop()
	took := ""
	if d := time.Since(began); d >= time.Second {
		took = fmt.Sprintf(" (%.0f s)", d.Seconds())
	}
	if err != nil {
		fmt.Fprintf(s.out, "%s %s%s\n", s.painter.Paint(Bad), what, took)
		return err
	}
	fmt.Fprintf(s.out, "%s %s%s\n", s.painter.Paint(Good), what, took)
	return nil
}

// Say writes a line between steps.
func (s *Steps) Say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

// Warn writes a warning on a line.
func (s *Steps) Warn(format string, args ...any) {
	s.Say("%s "+format, append([]any{s.painter.Paint(Warn)}, args...)...)
}

// Bar is how much of all is done, as text.
func Bar(done, all int) string {
	const width = 20
	full := width * done / max(all, 1)
	return fmt.Sprintf("[%s%s] %d %%", strings.Repeat("#", full), strings.Repeat("-", width-full), 100*done/max(all, 1))
}
