package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/tombolo-net/tombolo/internal/echo"
)

// Ask lets the site's client ask.
func (s *Site) Ask(ctx context.Context, q echo.Question) (r echo.Reply, err error) {
	err = s.run(ctx, "ask", q, &r)
	return r, err
}

// Measure lets the site's client measure.
func (s *Site) Measure(ctx context.Context, task echo.Task) (f echo.Figures, err error) {
	err = s.run(ctx, "measure", task, &f)
	return f, err
}

// run runs a command of the echo program in the client's pod.
func (s *Site) run(ctx context.Context, command string, in, out any) error {
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	said, err := s.Exec(ctx, &s.Client, bytes.NewReader(text), "/tombolo", "echo", command)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(said, out); err != nil {
		return fmt.Errorf("reading what the client in cluster %s says: %w", s.ID, err)
	}
	return nil
}
