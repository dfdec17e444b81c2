package install

import (
	"net/netip"
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

// Clusters with IPv4 alone and with IPv6 alone never reach each other, and are not waited for.
func TestShareFamily(t *testing.T) {
	v4, v6 := netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/56")
	four, six, both := Cluster{Name: "four", PodCIDRs: []netip.Prefix{v4}}, Cluster{Name: "six", PodCIDRs: []netip.Prefix{v6}},
		Cluster{Name: "both", PodCIDRs: []netip.Prefix{v4, v6}}
	i := &installation{Config{Clusters: []Cluster{four, six, both}}}
	for _, tt := range []struct {
		c     Cluster
		other string
		want  bool
	}{{four, "six", false}, {six, "four", false}, {four, "both", true}, {both, "six", true}, {six, "both", true}} {
		if got := i.shareFamily(tt.c, tt.other); got != tt.want {
			t.Errorf("%s and %s share an IP family: %t, want %t", tt.c.Name, tt.other, got, tt.want)
		}
	}
}
