package backend

import (
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/plan"
)

// TestRemarks: the families that have no room for more clients are named, with how many clients
// there are.
func TestRemarks(t *testing.T) {
	b := New(&plan.Table{}, nil)
	if got := b.Remarks(); got != nil {
		t.Errorf("while nothing serves: %q", got)
	}
	b.Serve(v1alpha1.BackendNFTables, false)
	defer b.Close()
	for _, tt := range []struct {
		name string
		full []string
		want string
	}{
		{"room for all", nil, ""},
		{"one family", []string{"IPv6"}, "no room for more clients with session affinity (IPv6, 131072 of them)"},
		{"both families", []string{"IPv4", "IPv6"}, "no room for more clients with session affinity (IPv4 and IPv6, 131072 of them)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.serving.(*nftDriver).full = tt.full
			if got := strings.Join(b.Remarks(), "; "); !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
