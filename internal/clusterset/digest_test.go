package clusterset

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

func TestHeartbeat(t *testing.T) {
	annotations := HeartbeatAnnotations([]string{"b", "a"})
	for _, test := range []struct {
		name  string
		names []string
		want  bool
	}{
		{"the same, in another order", []string{"a", "b"}, true},
		{"one gone", []string{"a"}, false},
		{"another", []string{"a", "c"}, false},
		{"none", nil, false},
	} {
		if got := HeartbeatConfirms(annotations, test.names); got != test.want {
			t.Errorf("%s: confirms is %v", test.name, got)
		}
	}
	if HeartbeatConfirms(nil, nil) {
		t.Error("a Lease without annotations confirms that nothing is exported")
	}
	if !HeartbeatConfirms(HeartbeatAnnotations(nil), nil) {
		t.Error("a Lease that says nothing is exported does not confirm it")
	}
}
