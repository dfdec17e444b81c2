package install

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestIsTrue(t *testing.T) {
	object := func(conditions ...any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"kind": "RemoteCluster", "metadata": map[string]any{"name": "west"},
			"status": map[string]any{"conditions": conditions},
		}}
	}
	condition := func(status string) any {
		return map[string]any{"type": "Reachable", "status": status, "reason": "NoLink", "message": "no link is up"}
	}
	tests := []struct {
		name string
		in   *unstructured.Unstructured
		want string // part of the error; "" for none
	}{
		{"true", object(condition("True")), ""},
		{"false", object(condition("False")), "Reachable is False: NoLink: no link is up"},
		{"another one", object(map[string]any{"type": "Accepted", "status": "True"}), "has no condition Reachable"},
		{"none", object(), "RemoteCluster west has no condition Reachable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := isTrue(tt.in, "Reachable")
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
