package explain

import (
	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/plan"
)

// Decision is where a node sends the flows to a name.
type Decision = plan.Explained

// Port is where it sends those to one port of one clusterset IP.
type Port = plan.Explanation

// State says how a hop is.
type State string

// The states.
const (
	Good State = "Good"
	// Warning: something of the hop is not right, but flows pass it.
	Warning State = "Warning"
	// Failed: flows end here, or the name does.
	Failed State = "Failed"
	// Unknown: it could not be looked at; the message says why and what helps.
	Unknown State = "Unknown"
	// NotLookedAt: a hop before it has failed.
	NotLookedAt State = "NotLookedAt"
)

// Hop is one thing that was looked at on the way of a name.
type Hop struct {
	// Name of the hop, such as export. Several Hops of one name are one hop in several clusters or of
	// several objects.
	Name string `json:"hop"`
	// Cluster where it was looked at; empty: in none.
	Cluster v1alpha1.ClusterID `json:"cluster,omitempty"`
	// Looked is what was looked at: an object, an address with its port, a name.
	Looked  string `json:"looked,omitempty"`
	State   State  `json:"state"`
	Message string `json:"message,omitempty"`
}

// Answer is the way of a name.
type Answer struct {
	// Name is the whole DNS name.
	Name   string `json:"name"`
	Client Client `json:"client"`
	Hops   []Hop  `json:"hops"`
	// Cause is the hop that failed; nil: none did.
	Cause *Hop `json:"cause,omitempty"`
	// Decision says where the client's node sends flows, and why each endpoint is in or out; nil: not
	// known, or the name is headless.
	Decision *Decision `json:"decision,omitempty"`
	// IfDown says the same for when that cluster is down; nil: it was not asked for.
	IfDown *IfDown `json:"ifDown,omitempty"`
}

// IfDown is where flows would go.
type IfDown struct {
	Cluster  v1alpha1.ClusterID `json:"cluster"`
	Decision Decision           `json:"decision"`
}
