package demo

import "testing"

func TestSlots(t *testing.T) {
	const listed = `table inet tombolo-services {
	map slots4 {
		typeof ip daddr . meta l4proto . th dport . numgen random mod 4096 : ip daddr . th dport
		elements = { 244.0.0.7 . tcp . 80 . 0 : 10.1.0.5 . 8080, 244.0.0.7 . tcp . 80 . 1 : 10.1.0.6 . 8080,
			     244.0.0.70 . tcp . 80 . 0 : 10.1.0.9 . 8080,
			     244.0.0.7 . tcp . 80 . 2 : 10.1.0.5 . 8080 }
	}
}`
	lines, endpoints := slots(listed, "244.0.0.7")
	const want = "244.0.0.7 . tcp . 80 . 0 : 10.1.0.5 . 8080\n244.0.0.7 . tcp . 80 . 1 : 10.1.0.6 . 8080\n244.0.0.7 . tcp . 80 . 2 : 10.1.0.5 . 8080"
	if lines != want || endpoints != 2 {
		t.Errorf("%d endpoints in\n%s", endpoints, lines)
	}
	if lines, endpoints := slots(listed, "244.0.0.8"); lines != "" || endpoints != 0 {
		t.Errorf("of another: %d in %s", endpoints, lines)
	}
}
