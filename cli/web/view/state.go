// Package view makes what the page shows of a picture of the clusterset: JSON objects by key, their
// differences, one Service in depth, what has happened between two pictures, and rates of links. It
// is pure: it reads no cluster and no clock.
package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// State is what the page shows: JSON objects by key, such as cluster/east. Once made, it never
// changes.
type State map[string]json.RawMessage

// Change leads from one State to another.
type Change struct {
	// Put are the objects that are new or differ.
	Put State `json:"put,omitempty"`
	// Gone are the keys of those that are no more, sorted.
	Gone []string `json:"gone,omitempty"`
}

// Empty tells whether nothing differs.
func (c Change) Empty() bool { return len(c.Put) == 0 && len(c.Gone) == 0 }

// Diff returns what leads from have to want.
func Diff(have, want State) Change {
	var c Change
	for key, value := range want {
		if was, ok := have[key]; ok && bytes.Equal(was, value) {
			continue
		}
		if c.Put == nil {
			c.Put = State{}
		}
		c.Put[key] = value
	}
	for key := range have {
		if _, ok := want[key]; !ok {
			c.Gone = append(c.Gone, key)
		}
	}
	slices.Sort(c.Gone)
	return c
}

// With returns the State in which the objects below the prefix are those of part, and all others as
// they were.
func (s State) With(prefix string, part State) State {
	all := maps.Clone(s)
	if all == nil {
		all = State{}
	}
	maps.DeleteFunc(all, func(key string, _ json.RawMessage) bool { return strings.HasPrefix(key, prefix) })
	maps.Copy(all, part)
	return all
}

// Put adds an object. It is for a State that is being made.
func (s State) Put(object any, key ...string) {
	text, err := json.Marshal(object)
	if err != nil {
		panic(fmt.Sprintf("view: a %T cannot be JSON: %v", object, err)) // it is of this package's own types
	}
	s[strings.Join(key, "/")] = text
}
