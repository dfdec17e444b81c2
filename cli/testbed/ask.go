package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/tombolo-net/tombolo/internal/echo"
)

// Ask lets the site's client ask.
func (s *Site) Ask(ctx context.Context, q echo.Question) (echo.Reply, error) {
	question, err := json.Marshal(q)
	if err != nil {
		return echo.Reply{}, err
	}
	out, err := s.Exec(ctx, &s.Client, bytes.NewReader(question), "/tombolo", "echo", "ask")
	if err != nil {
		return echo.Reply{}, err
	}
	var r echo.Reply
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("reading what the client in cluster %s heard: %w", s.ID, err)
	}
	return r, nil
}
