package lifecycle

import "testing"

// walkStates returns a walk through the states of an upgrade of so many parts. A state has a bit for
// each part that has the new version. The walk begins with none of them, and goes to all at once and
// back. Then it comes to each other state once, changes one part in each step, and ends with none.
func walkStates(parts int) []int {
	walk := []int{0, 1<<parts - 1}
	for i := range 1 << parts {
		walk = append(walk, i^i>>1) // the reflected Gray code, whose last state is a neighbour of the first
	}
	return append(walk, 0)
}

func TestWalkStates(t *testing.T) {
	const parts = 4
	walk := walkStates(parts)
	if walk[0] != 0 || walk[1] != 1<<parts-1 || walk[2] != 0 || walk[len(walk)-1] != 0 {
		t.Errorf("the walk %b does not go from none to all, back, and end with none", walk)
	}
	states := map[int]bool{}
	for i, to := range walk[3:] {
		states[to] = true
		if changed := walk[i+2] ^ to; changed == 0 || changed&(changed-1) != 0 {
			t.Errorf("the step from %b to %b changes more or less than one part", walk[i+2], to)
		}
	}
	if len(states) != 1<<parts {
		t.Errorf("the walk %b has %d states, want %d", walk, len(states), 1<<parts)
	}
}
