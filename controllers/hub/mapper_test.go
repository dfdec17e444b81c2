package hub

import (
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// countingMapper knows every kind once it is told to.
type countingMapper struct {
	meta.RESTMapper
	asked int
	err   error
}

func (m *countingMapper) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	m.asked++
	if m.err != nil {
		return nil, m.err
	}
	return &meta.RESTMapping{GroupVersionKind: kind.WithVersion(append(versions, "any")[0])}, nil
}

func TestRememberingMapper(t *testing.T) {
	truth := &countingMapper{err: errors.New("not there")}
	m := &rememberingMapper{RESTMapper: truth}
	a, b := schema.GroupKind{Group: "g", Kind: "A"}, schema.GroupKind{Group: "g", Kind: "B"}
	if _, err := m.RESTMapping(a, "v1"); err == nil {
		t.Error("an error was lost")
	}
	truth.err, truth.asked = nil, 0
	for _, step := range []struct {
		kind     schema.GroupKind
		versions []string
		asked    int
	}{
		{a, []string{"v1"}, 1}, // the error was not remembered
		{a, []string{"v1"}, 1},
		{a, []string{"v2"}, 2},
		{b, []string{"v1"}, 3},
		{a, []string{"v1"}, 3},
		{a, nil, 4}, // which is best may change
		{a, nil, 5},
	} {
		got, err := m.RESTMapping(step.kind, step.versions...)
		if want := step.kind.WithVersion(append(step.versions, "any")[0]); err != nil || got.GroupVersionKind != want {
			t.Errorf("%v %v: got %v, %v, want %v", step.kind, step.versions, got, err, want)
		}
		if truth.asked != step.asked {
			t.Errorf("%v %v: asked %d times so far, want %d", step.kind, step.versions, truth.asked, step.asked)
		}
	}
}
