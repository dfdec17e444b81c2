package apply

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func links() *unstructured.Unstructured {
	link := func(gateway string) map[string]any {
		return map[string]any{"gateway": gateway, "new": true, "links": []any{map[string]any{"state": "Up", "new": true}}}
	}
	return &unstructured.Unstructured{Object: map[string]any{"kind": "RemoteCluster", "status": map[string]any{
		"new": map[string]any{"a": "b"}, "links": []any{link("a.b"), link("c")}}}}
}

const (
	said  = `failed to create typed patch object (/west; clusterset.tombolo.dev/v1alpha1, Kind=RemoteCluster): `
	field = `: field not declared in schema`
)

// TestKnown: what the CRD does not have is left out, one field or several at a time.
func TestKnown(t *testing.T) {
	o, answers := links(), []error{
		errors.New(said + `.status.links[gateway="a.b"].links[remoteGateway="r",lane=1].new` + field),
		errors.New(said + "errors:\n  .status.links[gateway=\"c\"].new" + field + "\n  .status.new" + field),
		nil,
	}
	var written *unstructured.Unstructured
	err := known(t.Context(), o, func(o *unstructured.Unstructured) error {
		answer := answers[0]
		written, answers = o, answers[1:]
		return answer
	})
	link := func(gateway string) map[string]any {
		return map[string]any{"gateway": gateway, "links": []any{map[string]any{"state": "Up"}}}
	}
	want := map[string]any{"kind": "RemoteCluster", "status": map[string]any{"links": []any{link("a.b"), link("c")}}}
	if diff := cmp.Diff(want, written.Object); err != nil || len(answers) > 0 || diff != "" {
		t.Errorf("%v, %d answers left, written (-want +got):\n%s", err, len(answers), diff)
	}
	if diff := cmp.Diff(links(), o); diff != "" {
		t.Errorf("the caller's object was changed:\n%s", diff)
	}
}

// TestOtherErrors: other errors are the caller's, and so is one about a field that is not there.
func TestOtherErrors(t *testing.T) {
	for _, refusal := range []error{errors.New("connection refused"), errors.New(said + ".status.other" + field)} {
		attempts := 0
		err := known(t.Context(), links(), func(*unstructured.Unstructured) error { attempts++; return refusal })
		if !errors.Is(err, refusal) || attempts != 1 {
			t.Errorf("%v after %d attempts, want %v after one", err, attempts, refusal)
		}
	}
	n := 0
	endless := func(o *unstructured.Unstructured) error {
		n++
		if n > 20 {
			t.Fatal("it never ends")
		}
		return errors.New(said + ".status.new" + field)
	}
	if err := known(t.Context(), links(), endless); err == nil {
		t.Error("no error though every attempt failed")
	}
}
