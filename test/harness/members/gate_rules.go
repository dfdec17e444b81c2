//go:build integration

package members

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Refuse answers requests for these resources, none meaning all, with that status.
func Refuse(code int, resources ...string) Rule {
	return func(r Request, _ http.Handler) http.Handler {
		if len(resources) > 0 && !slices.Contains(resources, r.Resource) {
			return nil
		}
		return answer(code, "refused by the test")
	}
}

func answer(code int, message string) http.Handler {
	reasons := map[int]metav1.StatusReason{
		http.StatusUnauthorized: metav1.StatusReasonUnauthorized, http.StatusForbidden: metav1.StatusReasonForbidden,
		http.StatusTooManyRequests: metav1.StatusReasonTooManyRequests, http.StatusInternalServerError: metav1.StatusReasonInternalError,
		http.StatusUnprocessableEntity: metav1.StatusReasonInvalid, http.StatusGone: metav1.StatusReasonExpired,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(metav1.Status{ // who asked may have gone
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
			Status:   metav1.StatusFailure, Code: int32(code), Reason: reasons[code], Message: message,
		})
	})
}

// relist makes who watches these resources ask for lists: a watch that begins with a list is
// refused, one that goes on is out of date until the list has been told. It returns the handler for
// lists, or nil for what passes.
func relist(told *sync.Map, r Request, next, list http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, done := told.Load(r.Resource)
		switch {
		case r.Verb == "list":
			list.ServeHTTP(w, q)
			told.Store(r.Resource, true)
		case q.URL.Query().Get("sendInitialEvents") != "":
			answer(http.StatusUnprocessableEntity, "ask for a list").ServeHTTP(w, q)
		case done:
			next.ServeHTTP(w, q)
		default:
			answer(http.StatusGone, "too old").ServeHTTP(w, q)
		}
	})
}

// Lists makes lists of these resources hold what keep returns of the items that there are, and who
// watches them ask for a list once more; told counts the lists.
func Lists(told *atomic.Int32, keep func(items []json.RawMessage) []json.RawMessage, resources ...string) Rule {
	var lists sync.Map
	return func(r Request, next http.Handler) http.Handler {
		if !slices.Contains(resources, r.Resource) || (r.Verb != "list" && r.Verb != "watch") {
			return nil
		}
		return relist(&lists, r, next, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			q.Header.Set("Accept", "application/json")
			q.Header.Del("Accept-Encoding")
			rewriteList(w, q, next, keep)
			told.Add(1)
		}))
	}
}

func rewriteList(w http.ResponseWriter, q *http.Request, next http.Handler, keep func([]json.RawMessage) []json.RawMessage) {
	recorded := httptest.NewRecorder()
	next.ServeHTTP(recorded, q)
	list := map[string]json.RawMessage{}
	var items []json.RawMessage
	if recorded.Code != http.StatusOK || json.Unmarshal(recorded.Body.Bytes(), &list) != nil || json.Unmarshal(list["items"], &items) != nil {
		w.WriteHeader(recorded.Code)
		_, _ = w.Write(recorded.Body.Bytes()) // who asked may have gone
		return
	}
	kept := keep(items)
	if kept == nil {
		kept = []json.RawMessage{}
	}
	list["items"], _ = json.Marshal(kept) // it was JSON
	body, _ := json.Marshal(list)         // as above
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // as above
}

// All keeps a list as it is.
func All(items []json.RawMessage) []json.RawMessage { return items }

// None keeps nothing of a list.
func None([]json.RawMessage) []json.RawMessage { return nil }

// Half keeps the first half of a list, rounded down.
func Half(items []json.RawMessage) []json.RawMessage { return items[:len(items)/2] }

// SecondHalf keeps what Half leaves out.
func SecondHalf(items []json.RawMessage) []json.RawMessage { return items[len(items)/2:] }

// EndMidList ends each list of these resources, and each watch that begins with one, after so many
// bytes of its answer, and counts how often; who watches has to list again.
func EndMidList(after int, ended *atomic.Int32, resources ...string) Rule {
	return func(r Request, next http.Handler) http.Handler {
		if !slices.Contains(resources, r.Resource) || (r.Verb != "list" && r.Verb != "watch") {
			return nil
		}
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if r.Verb == "watch" && q.URL.Query().Get("sendInitialEvents") == "" {
				answer(http.StatusGone, "too old").ServeHTTP(w, q)
				return
			}
			next.ServeHTTP(&shortWriter{ResponseWriter: w, left: after, ended: ended}, q)
		})
	}
}

// shortWriter ends the connection after some bytes.
type shortWriter struct {
	http.ResponseWriter
	left  int
	ended *atomic.Int32
}

// Write implements io.Writer.
func (w *shortWriter) Write(b []byte) (int, error) {
	if len(b) < w.left {
		w.left -= len(b)
		return w.ResponseWriter.Write(b)
	}
	_, _ = w.ResponseWriter.Write(b[:w.left]) // it ends anyway
	_ = http.NewResponseController(w.ResponseWriter).Flush()
	w.ended.Add(1)
	panic(http.ErrAbortHandler)
}

// Unwrap lets http.ResponseController flush.
func (w *shortWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Renamed makes the requests for one object of a resource mean another, whose name is as long:
// bodies may be protobuf.
func Renamed(resource, from, to string) Rule {
	return func(r Request, next http.Handler) http.Handler {
		if r.Resource != resource {
			return nil
		}
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			body := new(bytes.Buffer)
			if q.Body != nil {
				if _, err := body.ReadFrom(q.Body); err != nil {
					panic(http.ErrAbortHandler)
				}
			}
			text := bytes.ReplaceAll(body.Bytes(), []byte(from), []byte(to))
			again := q.Clone(q.Context())
			if r.Name == from {
				again.URL.Path = q.URL.Path[:len(q.URL.Path)-len(from)] + to
			}
			again.Body, again.ContentLength = http.NoBody, int64(len(text))
			if len(text) > 0 {
				again.Body = readCloser{bytes.NewReader(text)}
			}
			next.ServeHTTP(w, again)
		})
	}
}

type readCloser struct{ *bytes.Reader }

// Close implements io.Closer.
func (readCloser) Close() error { return nil }
