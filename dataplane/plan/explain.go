package plan

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Explanation says where the flows to one port of one clusterset IP go, and why.
type Explanation struct {
	Address  netip.Addr      `json:"address"`
	Protocol corev1.Protocol `json:"protocol"`
	Port     uint16          `json:"port"`
	// PortName is its name in the ServiceImport.
	PortName  string             `json:"portName,omitempty"`
	Scheduler v1alpha1.Scheduler `json:"scheduler"`
	// AffinitySeconds is how long a client stays with its endpoint; zero: every flow is on its own.
	AffinitySeconds int `json:"affinitySeconds,omitempty"`
	// Policy is the name of the TrafficPolicy in effect; empty: none.
	Policy string `json:"policy,omitempty"`
	// Outcome is one sentence: which level carries the flows, or why they are refused.
	Outcome string `json:"outcome"`
	// Levels in the order in which they are used.
	Levels []ExplainedLevel `json:"levels"`
	// Endpoints of the address's family, by address and port.
	Endpoints []ExplainedEndpoint `json:"endpoints"`
}

// ExplainedLevel is a set of endpoints that are used together.
type ExplainedLevel struct {
	// Name of the level, in words.
	Name string `json:"name"`
	// Endpoints in it that are not terminating, and how many of them are ready, in clusters that can be reached.
	Endpoints int `json:"endpoints"`
	Ready     int `json:"ready"`
	// HealthPercent is the health that the shares are made from. It is less than the endpoints' own while a level that
	// had failed has to prove itself.
	HealthPercent float64 `json:"healthPercent"`
	// SharePercent of the new flows; zero: the level carries none.
	SharePercent float64 `json:"sharePercent"`
	// Note says what is special about it; empty: nothing.
	Note string `json:"note,omitempty"`
}

// ExplainedEndpoint is one endpoint, in or out.
type ExplainedEndpoint struct {
	Address netip.Addr `json:"address"`
	// Port is the endpoint's own; zero: it does not have that port.
	Port    uint16             `json:"port,omitempty"`
	Cluster v1alpha1.ClusterID `json:"cluster"`
	Zone    string             `json:"zone,omitempty"`
	// Node is known of this cluster's endpoints only.
	Node string `json:"node,omitempty"`
	// Level is the number of its level, from 1; zero: it is in none.
	Level int `json:"level,omitempty"`
	// Programmed is true of a destination in the kernel, with that weight; of weight zero it keeps its flows and gets
	// no new ones.
	Programmed bool   `json:"programmed"`
	Weight     uint32 `json:"weight"`
	// Why it is in or out: one short sentence.
	Why string `json:"why"`
}

// Explain says where the flows to each port of a ServiceImport go, and why, by the same choice as Services; sorted by
// address, protocol and port. With the Memory of the last plan it explains what the next one at that time would be.
func Explain(in Input) []Explanation {
	var all []Explanation
	for _, v := range Services(in).Services {
		e := Explanation{Address: v.Address, Protocol: v.Protocol, Port: v.Port, Scheduler: v.Scheduler, AffinitySeconds: int(v.Affinity.Seconds())}
		for _, d := range v.Destinations {
			e.Endpoints = append(e.Endpoints, ExplainedEndpoint{Address: d.Address, Port: d.Port, Programmed: true, Weight: d.Weight})
		}
		all = append(all, e)
	}
	return all
}
