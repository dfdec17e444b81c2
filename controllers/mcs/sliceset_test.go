package mcs

import (
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func named(names ...string) []discoveryv1.EndpointSlice {
	var found []discoveryv1.EndpointSlice
	for _, name := range names {
		found = append(found, discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	return found
}

func TestSliceSet(t *testing.T) {
	if SliceSet(named("a", "b")) != SliceSet(named("b", "a")) {
		t.Error("the order matters")
	}
	seen := map[string]bool{}
	for _, names := range [][]string{nil, {"a"}, {"b"}, {"a", "b"}, {"ab"}} {
		seen[SliceSet(named(names...))] = true
	}
	if len(seen) != 5 {
		t.Errorf("of 5 sets some look alike: %v", seen)
	}
}
