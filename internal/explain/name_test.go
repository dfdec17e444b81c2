package explain

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseName(t *testing.T) {
	web := Name{Namespace: "shop", Service: "web"}
	tests := []struct {
		text string
		want Name // zero: it is refused
	}{
		{"web", Name{Namespace: "here", Service: "web"}},
		{"web.shop", web},
		{"Web.Shop.svc.clusterset.local", web},
		{"web.shop.svc.clusterset.local.", web},
		{"db-0.east.db.shop.svc.clusterset.local", Name{Namespace: "shop", Service: "db", Host: "db-0", Cluster: "east"}},
		{"east.web.shop.svc.clusterset.local", Name{}},
		{"web.svc.clusterset.local", Name{}},
		{"web.shop.svc.cluster.local", Name{}},
		{"web..shop", Name{}},
		{"", Name{}},
	}
	for _, tt := range tests {
		got, err := ParseName(tt.text, "here")
		if diff := cmp.Diff(tt.want, got); diff != "" || (err != nil) != (tt.want == Name{}) {
			t.Errorf("%q: %v, error %v", tt.text, got, err)
		}
		if err == nil {
			if again, err := ParseName(got.String(), ""); err != nil || again != got {
				t.Errorf("%q: its own name %q is read as %v, %v", tt.text, got, again, err)
			}
		}
	}
}
