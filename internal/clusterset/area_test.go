package clusterset

import "testing"

func TestSameZones(t *testing.T) {
	base := Area{ZoneDomain: "example.com", Region: "r1"}
	for _, test := range []struct {
		name string
		a, b Area
		want bool
	}{
		{"equal", base, base, true},
		{"another region", base, Area{ZoneDomain: "example.com", Region: "r2"}, false},
		{"another domain", base, Area{ZoneDomain: "example.org", Region: "r1"}, false},
		{"no domain", Area{Region: "r1"}, Area{Region: "r1"}, false},
		{"no region", Area{ZoneDomain: "d"}, Area{ZoneDomain: "d"}, false},
	} {
		if got := test.a.SameZones(test.b); got != test.want {
			t.Errorf("%s: got %v", test.name, got)
		}
	}
}
