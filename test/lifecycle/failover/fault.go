package failover

import (
	"context"
	"time"
)

// Fault is something that happens to a gateway.
type Fault struct {
	// Name is a word for figures, Title what happens, for a reader.
	Name, Title string
	// Lossless faults are announced, or touch no traffic: not one packet may be lost.
	Lossless bool
	// Alone is true if no other gateway is there.
	Alone bool
	// NoAPI is true if every API server is stopped meanwhile.
	NoAPI bool

	// hold is how long the fault stays, and rest how long the load is watched after it was healed.
	hold, rest time.Duration
	// watched is true if it is healed while the load is watched. Otherwise what comes of healing does
	// not count: the same node boots, and the API servers start again, before.
	watched bool
	// make makes the fault at v and returns what heals it.
	make func(ctx context.Context, s *Site, v victim) (heal func(context.Context) error, err error)
}

// victim is the node that a fault happens to.
type victim struct {
	node    string
	cluster string
	other   string // the other cluster
}

// Times for which a fault stays and the load is watched afterwards: some times what it takes to
// notice.
const (
	holdFor = 4 * time.Second
	restFor = 3 * time.Second
)

// Faults returns all faults, in the order in which they are tried.
func Faults() []Fault {
	faults := []Fault{
		{Name: "power_off", Title: "the node loses its power", make: powerOff},
		{Name: "frozen", Title: "the node is frozen", watched: true, make: freeze},
		{Name: "underlay_cut", Title: "nothing reaches the node, nor leaves it", watched: true, make: cut},
		{Name: "port_cut", Title: "only WireGuard's ports are cut", watched: true, make: cutPorts},
		{Name: "one_way_cut", Title: "nothing leaves the node", watched: true, make: cutOneWay},
		{Name: "handover", Title: "it has no link to the other cluster, and its sibling has", watched: true, make: cutRemote},
		{Name: "agent_killed", Title: "its agent is killed", Lossless: true, watched: true, make: killAgent},
	}
	for _, f := range faults {
		f.Name, f.Title, f.NoAPI, f.watched = f.Name+"_no_api", f.Title+", and no API server runs", true, false
		faults = append(faults, f)
	}
	faults = append(faults,
		Fault{Name: "agent_upgraded", Title: "the agents of its cluster are upgraded", Lossless: true, watched: true, make: upgrade},
		Fault{Name: "agent_rollout", Title: "the agents of its cluster are restarted", Lossless: true, watched: true, make: rollOut},
		Fault{Name: "drained", Title: "kubectl drain, reboot, uncordon", Lossless: true, watched: true, make: drain},
		Fault{Name: "tainted", Title: "the autoscaler's taint, reboot", Lossless: true, watched: true, make: taint},
		Fault{Name: "label_moved", Title: "its label moves to another node, and back", Lossless: true, watched: true, make: moveLabel},
		Fault{Name: "alone_rebooted", Title: "it is the only one, and reboots", Alone: true, watched: true, make: rebootAlone},
	)
	for i := range faults {
		faults[i].hold, faults[i].rest = holdFor, restFor
	}
	return faults
}
