package tunnel

import "testing"

func TestIsName(t *testing.T) {
	for _, tt := range []struct {
		name string
		want bool
	}{
		{"tombolo0", true}, {"tombolo63", true}, {Name(7), true},
		{"tombolo", false}, {"tombolo-x", false}, {"tombolo100", false}, {"wg0", false}, {"xtombolo0", false}, {"tombolo1a", false},
	} {
		if got := IsName(tt.name); got != tt.want {
			t.Errorf("%s is a name of a tunnel: %t, want %t", tt.name, got, tt.want)
		}
	}
}
