package web

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/cli/web/view"
)

// stream is an open page.
type stream struct {
	t     *testing.T
	lines *bufio.Reader
}

// next is the next event, and its data.
func (s *stream) next() string {
	s.t.Helper()
	var all []string
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			s.t.Fatalf("after %q: %v", all, err)
		}
		line = strings.TrimSpace(line)
		switch {
		case line == "" && len(all) > 0:
			return strings.Join(all, " ")
		case line != "" && !strings.HasPrefix(line, ":"):
			all = append(all, line)
		}
	}
}

// TestStream has a page get the whole state, then what changes, and end with the server.
func TestStream(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	board := newBoard()
	board.set("now/", view.State{"now/a": []byte("1"), "now/b": []byte("2")})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- newServer(listener.Addr().String(), token, board, deepStub{}).serve(ctx, listener) }()

	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listener.Addr().String()+"/api/stream", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	s := &stream{t: t, lines: bufio.NewReader(answer.Body)}
	if got, want := s.next(), `event: whole data: {"put":{"now/a":1,"now/b":2}}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !board.isRead() {
		t.Error("nobody reads the board")
	}
	board.set("now/", view.State{"now/a": []byte("1"), "now/b": []byte("2")}) // nothing differs
	board.set("now/", view.State{"now/b": []byte("3")})
	if got, want := s.next(), `event: change data: {"put":{"now/b":3},"gone":["now/a"]}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	stop()
	if err := <-ended; err != context.Canceled {
		t.Errorf("serve returned %v", err)
	}
}
