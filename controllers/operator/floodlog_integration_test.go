//go:build integration

package operator_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
)

// logged is how many lines an operator may log while a hostile member makes a thousand changes.
const logged = 100

// lines counts what an operator has logged, by message. It is safe for concurrent use.
type lines struct {
	rest []byte // of what was written, what is no whole line yet

	mu    sync.Mutex
	count map[string]int // guarded by mu
	last  []string       // guarded by mu; a few
}

// add counts one line, which is JSON.
func (l *lines) add(line string) {
	var fields struct {
		Msg   string
		Error string
	}
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		fields.Msg = "(no JSON) " + line[:min(len(line), 80)]
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count == nil {
		l.count = map[string]int{}
	}
	l.last = append(l.last[max(0, len(l.last)-20):], line)
	l.count[strings.TrimSpace(fields.Msg+" "+fields.Error[:min(len(fields.Error), 40)])]++
}

// total is how many lines there are, and which messages are the most frequent.
func (l *lines) total() (int, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	messages := slices.SortedFunc(maps.Keys(l.count), func(a, b string) int { return l.count[b] - l.count[a] })
	total, most := 0, ""
	for i, m := range messages {
		total += l.count[m]
		if i < 8 {
			most += fmt.Sprintf("\n\t%6d %s", l.count[m], m)
		}
	}
	return total, most
}

// logger writes to the test's log, and counts.
func (l *lines) logger(t *testing.T, name string) logr.Logger {
	return funcr.NewJSON(func(line string) {
		l.add(line)
		t.Log(name, line)
	}, funcr.Options{})
}

// Write implements io.Writer, for a process that logs.
func (l *lines) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		l.add(string(line))
		l.rest = rest
	}
}

// tail are the last lines.
func (l *lines) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.last, "\n")
}

// forget counts from now on.
func (l *lines) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count = nil
}

// wantShort fails the test if an operator logged more than logged lines for a thousand changes of a
// hostile member.
func (l *lines) wantShort(t *testing.T, name string, hostile int) {
	t.Helper()
	total, most := l.total()
	t.Logf("%s logged %d lines while a hostile member made %d changes:%s", name, total, hostile, most)
	if allowed := logged * max(1, hostile/1000); total > allowed {
		t.Errorf("%s logged %d lines, want %d at most", name, total, allowed)
	}
}
