package filter

const (
	// untracked is the counter of packets that connection tracking should have seen. Somebody's
	// rules keep it from them, so nothing translates them.
	untracked      = "untracked"
	countUntracked = `counter name "` + untracked + `"`
	// isUntracked matches packets of the protocols that are always tracked.
	isUntracked = "meta l4proto { 6, 17, 132 } ct state untracked "
)

// untrackedRules look at packets of other clusters that do not just pass this node: the gateway itself
// leaves those untracked that do.
func untrackedRules() []string {
	return []string{"iifname " + ourDevices + " " + isUntracked + "fib daddr oifname != " + ourDevices + " " + countUntracked}
}
