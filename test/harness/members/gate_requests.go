//go:build integration

package members

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Request is what somebody asks of an API server.
type Request struct {
	Verb     string // as RBAC has it: get, list, watch, create, update, patch, delete
	Resource string // with the subresource, as in serviceimports/status; empty for what is no resource
	Name     string // empty for lists and creations
	DryRun   bool
}

// Write tells whether the request changes something.
func (r Request) Write() bool {
	return r.Resource != "" && !r.DryRun && slices.Contains([]string{"create", "update", "patch", "delete", "deletecollection"}, r.Verb)
}

func (r Request) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Verb, r.Resource, r.Name))
}

// parseRequest reads the path as the API server does: /api/v1 or /apis/<group>/<version>, then
// perhaps namespaces/<namespace>, then resource, name and subresource.
func parseRequest(r *http.Request) Request {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		parts = parts[3:]
	default:
		return Request{Verb: strings.ToLower(r.Method)}
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	request := Request{Resource: parts[0], DryRun: r.URL.Query().Has("dryRun")}
	if len(parts) > 1 {
		request.Name = parts[1]
	}
	if len(parts) > 2 {
		request.Resource += "/" + parts[2]
	}
	request.Verb = verb(r, request.Name != "")
	return request
}

func verb(r *http.Request, named bool) string {
	switch r.Method {
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		if named {
			return "delete"
		}
		return "deletecollection"
	}
	switch {
	case r.URL.Query().Get("watch") != "":
		return "watch"
	case named:
		return "get"
	}
	return "list"
}

// counts are what passed a gate. It is safe for concurrent use.
type counts struct {
	mu     sync.Mutex
	writes []Request // guarded by mu; but for those of Leases
	leases int       // guarded by mu; writes
	bytes  int64     // guarded by mu; in both directions
}

// Reset makes the counts start again.
func (c *counts) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes, c.leases, c.bytes = nil, 0, 0
}

// Writes are those that were asked for since Reset, whatever the answer, but for those of Leases,
// and of the resources that are left out.
func (c *counts) Writes(leftOut ...string) []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []Request
	for _, w := range c.writes {
		if !slices.Contains(leftOut, w.Resource) {
			found = append(found, w)
		}
	}
	return found
}

// Leases is how many writes of Leases were asked for since Reset.
func (c *counts) Leases() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leases
}

// Bytes is how many were sent and received, in bodies, since Reset. What watches say counts when
// they end.
func (c *counts) Bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

func (c *counts) note(r Request, sent int64, w *countingWriter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes += max(sent, 0) + w.written
	switch {
	case !r.Write():
	case r.Resource == "leases":
		c.leases++
	default:
		c.writes = append(c.writes, r)
	}
}

// countingWriter counts the bytes of an answer.
type countingWriter struct {
	http.ResponseWriter
	written int64
}

// Write implements io.Writer.
func (w *countingWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.written += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController flush.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Crash is the moment from which on an operator's writes, and all else that it asks for, are lost:
// to everybody else it is dead. It is shared by the gates of one operator.
type Crash struct {
	mu   sync.Mutex
	left int           // guarded by mu; writes that still pass
	come chan struct{} // closed when it has come
}

// CrashAt returns a crash that comes with the n-th write, which is lost, too; those of the leader's
// Lease do not count.
func CrashAt(n int) *Crash { return &Crash{left: n - 1, come: make(chan struct{})} }

// Come is closed when the crash has come.
func (c *Crash) Come() <-chan struct{} { return c.come }

// lets tells whether the request passes. A nil Crash never comes.
func (c *Crash) lets(r Request) bool {
	if c == nil {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.come:
		return false
	default:
	}
	if !r.Write() || (r.Resource == "leases" && r.Name == "tombolo-operator") || r.Resource == "events" {
		return true
	}
	if c.left == 0 {
		close(c.come)
		return false
	}
	c.left--
	return true
}

// quiet drops what a server says of connections that end: that is what gates are for.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
