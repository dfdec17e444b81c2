package guest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/test/bench/figures"
)

func TestCollect(t *testing.T) {
	var all figures.List
	err := collect(strings.NewReader("{\"name\":\"a_ms\",\"value\":1,\"unit\":\"ms\"}\npanic: no\n{\"name\":\"b_s\",\"value\":2,\"unit\":\"s\"}\n"), &all)
	if diff := cmp.Diff(figures.List{{Name: "a_ms", Value: 1, Unit: "ms"}, {Name: "b_s", Value: 2, Unit: "s"}}, all); diff != "" {
		t.Errorf("figures (-want +got)\n%s", diff)
	}
	if err == nil || !strings.Contains(err.Error(), "panic: no") {
		t.Errorf("a line that is not a figure: %v", err)
	}
}
