package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/web/view"
	"github.com/tombolo-net/tombolo/internal/pages"
)

// apiPath begins the paths of what only who has the token may see.
const apiPath = "/api/"

const (
	// keepAlive is between two signs of life in a stream without changes.
	keepAlive = 15 * time.Second
	// oneWrite is how long a page may take to read a change.
	oneWrite = 30 * time.Second
)

// deep shows one Service; nil if there is none.
type deep interface {
	depth(name types.NamespacedName, down v1alpha1.ClusterID) *view.Depth
}

type server struct {
	board   *board
	feed    deep
	handler http.Handler
}

// newServer returns a server for who has the token. It is served at the address.
func newServer(address, token string, board *board, feed deep) *server {
	s := &server{board: board, feed: feed}
	mux := http.NewServeMux()
	mux.Handle("/", files())
	mux.HandleFunc(apiPath+"stream", s.stream)
	mux.HandleFunc(apiPath+"service", s.service)
	s.handler = newGuard(address, token, mux)
	return s
}

// serve serves until ctx ends.
func (s *server) serve(ctx context.Context, listener net.Listener) error {
	server := pages.NewServer(s.handler)
	server.BaseContext = func(net.Listener) context.Context { return ctx } // streams end with it
	stopped := context.AfterFunc(ctx, func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), pages.ShutdownTimeout)
		defer cancel()
		_ = server.Shutdown(ending) // requests that are left end with the process
	})
	defer stopped()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the page on %s: %w", listener.Addr(), err)
	}
	return ctx.Err()
}

// stream sends the whole state, and then changes, as server-sent events.
func (s *server) stream(w http.ResponseWriter, r *http.Request) {
	defer s.board.read()()
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	have, event := view.State{}, "whole"
	for {
		want, changed := s.board.now()
		message := []byte(": alive\n\n")
		if change := view.Diff(have, want); event == "whole" || !change.Empty() {
			text, err := json.Marshal(change)
			if err != nil {
				panic(err) // all of it was JSON before
			}
			message = bytes.Join([][]byte{[]byte("event: " + event), append([]byte("data: "), text...), nil, nil}, []byte("\n"))
			have, event = want, "change"
		}
		if err := out.SetWriteDeadline(time.Now().Add(oneWrite)); err != nil {
			return
		}
		if _, err := w.Write(message); err != nil {
			return // the page is gone
		}
		if err := out.Flush(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		case <-alive.C:
		}
	}
}

// service answers with one Service in depth.
func (s *server) service(w http.ResponseWriter, r *http.Request) {
	namespace, name, ok := strings.Cut(r.FormValue("name"), "/")
	if !ok {
		http.Error(w, "name= takes namespace/name", http.StatusBadRequest)
		return
	}
	depth := s.feed.depth(types.NamespacedName{Namespace: namespace, Name: name}, v1alpha1.ClusterID(r.FormValue("down")))
	if depth == nil {
		http.Error(w, "no cluster that was asked exports or imports this Service", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(depth) // a page that is gone needs no answer
}
