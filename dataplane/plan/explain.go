package plan

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Explained is a node's answer about one ServiceImport.
type Explained struct {
	// Ports says for each port of each clusterset IP where its flows go from the node, and why
	// each endpoint is in or out.
	Ports []Explanation `json:"ports"`
	// Skipped is what of the ServiceImport cannot be served, and why.
	Skipped []Skipped `json:"skipped,omitempty"`
}

// ExplainedGateway says whether a gateway of this cluster gets flows of a node, and why.
type ExplainedGateway struct {
	// Name of the GatewayNode.
	Name string `json:"name"`
	// Used is true if it gets a share of the flows to other clusters.
	Used bool `json:"used"`
	// Answers is "alive", "dead" or "unknown", and Since when it became so. Since is missing if the
	// node does not ask.
	Answers string     `json:"answers"`
	Since   *time.Time `json:"since,omitempty"`
	// Why it is used or not: one short sentence.
	Why string `json:"why"`
}

// Explanation says where the flows to one port of one clusterset IP go, and why.
type Explanation struct {
	Address  netip.Addr      `json:"address"`
	Protocol corev1.Protocol `json:"protocol"`
	Port     uint16          `json:"port"`
	// PortName is its name in the ServiceImport.
	PortName  string             `json:"portName,omitempty"`
	Scheduler v1alpha1.Scheduler `json:"scheduler"`
	// AffinitySeconds is how long a client stays with its endpoint; zero: each flow may get another
	// endpoint.
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
	// Endpoints in it that are not terminating, and how many of them are ready, in clusters that
	// can be reached.
	Endpoints int `json:"endpoints"`
	Ready     int `json:"ready"`
	// HealthPercent is the health that the shares are computed from. It is less than the endpoints'
	// own health while a level that had failed must prove itself.
	HealthPercent float64 `json:"healthPercent"`
	// SharePercent of the new flows; zero: the level carries none.
	SharePercent float64 `json:"sharePercent"`
	// Note says what is special about it; empty if nothing is.
	Note string `json:"note,omitempty"`
}

// ExplainedEndpoint is one endpoint, in or out.
type ExplainedEndpoint struct {
	Address netip.Addr `json:"address"`
	// Port is the endpoint's own number; zero: it does not have that port.
	Port    uint16             `json:"port,omitempty"`
	Cluster v1alpha1.ClusterID `json:"cluster"`
	Zone    string             `json:"zone,omitempty"`
	// Node is known for this cluster's endpoints only.
	Node string `json:"node,omitempty"`
	// Level is the number of its level, from 1; zero: it is in no level.
	Level int `json:"level,omitempty"`
	// Programmed is true if it is a destination in the kernel, with that weight. With weight zero
	// it keeps its flows and gets no new ones.
	Programmed bool   `json:"programmed"`
	Weight     uint32 `json:"weight"`
	// Why it is in or out: one short sentence.
	Why string `json:"why"`
}

// Explain says where the flows to each port of a ServiceImport go, and why, by the same choice as
// Services; sorted by address, protocol and port. With the Memory of the last plan it explains what
// the next one at that time would be.
func Explain(in Input) []Explanation {
	var s scratch
	targets, ch := prepare(&in, &s)
	all := make([]Explanation, 0, len(targets))
	for _, t := range targets {
		c, _ := ch.choose(t, &s)
		all = append(all, ch.explain(&c))
	}
	return all
}

func (ch *portChooser) explain(c *choice) Explanation {
	e := Explanation{Address: c.Address, Protocol: corev1.Protocol(c.Protocol.String()), Port: c.Port, PortName: c.name, Scheduler: ch.ranking.scheduler(),
		AffinitySeconds: int(affinityOf(&ch.in.Import.Spec).Seconds()), Levels: ch.explainLevels(c), Endpoints: ch.explainEndpoints(c)}
	if ch.in.Policy != nil {
		e.Policy = ch.in.Policy.Name
	}
	e.Outcome = ch.outcome(c, e.Levels)
	return e
}

func (ch *portChooser) explainLevels(c *choice) []ExplainedLevel {
	sum := 0
	for i := range c.levels {
		sum += c.levels[i].share
	}
	all := make([]ExplainedLevel, 0, len(c.levels))
	for i := range c.levels {
		l := &c.levels[i]
		e := ExplainedLevel{Name: ch.ranking.name(i), Endpoints: l.total, Ready: l.count[isReady], HealthPercent: l.memory.used.percent()}
		if sum > 0 {
			e.SharePercent = math.Round(10_000*float64(l.share)/float64(sum)) / 100
		}
		if better := l.memory.better; !better.IsZero() {
			e.Note = fmt.Sprintf("it had failed: its health counts as %.4g %% from %s on, if it stays well",
				l.health(ch).percent(), clock(better.Add(ch.in.Place.FailBack)))
		}
		all = append(all, e)
	}
	return all
}

// Refused begins the outcome of a port whose new flows are refused.
const Refused = "refused: "

// outcome is one sentence on where new flows go.
func (ch *portChooser) outcome(c *choice, levels []ExplainedLevel) string {
	var carry []string
	for i, l := range levels {
		if l.SharePercent > 0 || c.levels[i].share > 0 {
			carry = append(carry, fmt.Sprintf("level %d (%s) gets %.4g %% of new flows", i+1, l.Name, l.SharePercent))
		}
	}
	said := strings.Join(carry, ", ")
	switch {
	case len(c.candidates) == 0:
		return Refused + "there is no endpoint with this port"
	case len(carry) == 0 && ch.ranking.kind == onlyNode:
		return Refused + "no endpoint on this node is ready, and internalTrafficPolicy is Local"
	case len(carry) == 0:
		return Refused + "no endpoint that may get new flows is ready"
	case c.from == isCutOff:
		return said + ", though nothing leads there: no endpoint of a cluster that can be reached is ready"
	case c.from == isLeaving:
		return said + ", though its endpoints are terminating: none is ready"
	}
	return said
}

func (ch *portChooser) explainEndpoints(c *choice) []ExplainedEndpoint {
	all := make([]ExplainedEndpoint, 0, len(c.candidates))
	for i := range c.candidates {
		k := &c.candidates[i]
		e := ch.explained(&ch.endpoints[k.endpoint])
		e.Port, e.Programmed, e.Weight, e.Why = k.port, k.programmed(), k.weight, ch.why(c, k)
		all = append(all, e)
	}
	for i := range ch.endpoints {
		e := &ch.endpoints[i]
		if e.address.Is4() == c.Address.Is4() && c.number(ch.in.Slices[e.source]) == 0 {
			without := ch.explained(e)
			without.Why = fmt.Sprintf("it has no port %q of protocol %s", c.name, c.Protocol)
			all = append(all, without)
		}
	}
	slices.SortStableFunc(all, func(a, b ExplainedEndpoint) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Port, b.Port))
	})
	return all
}

// explained is what the slice says of the endpoint.
func (ch *portChooser) explained(e *endpoint) ExplainedEndpoint {
	m := &ch.members[ch.sources[e.source].member]
	of := &ch.in.Slices[e.source].Endpoints[e.item]
	x := ExplainedEndpoint{Address: e.address, Cluster: m.id, Level: int(e.level) + 1}
	if of.Zone != nil {
		x.Zone = *of.Zone
	}
	if of.NodeName != nil && m.own {
		x.Node = *of.NodeName
	}
	return x
}

// why the candidate is in or out.
func (ch *portChooser) why(c *choice, k *candidate) string {
	why := ch.reason(c, k)
	if k.drains {
		d := ch.destination(*k)
		i := slices.IndexFunc(c.drains, func(r drain) bool { return r.address == d.Address && r.port == d.Port })
		why += "; it keeps the flows that it has, until " + clock(c.drains[i].since.Add(drainFor))
	}
	return why
}

func (ch *portChooser) reason(c *choice, k *candidate) string {
	e := &ch.endpoints[k.endpoint]
	m := &ch.members[ch.sources[e.source].member]
	switch {
	case k.weight > 0:
		return [...]string{
			isReady:   "ready",
			isCutOff:  "ready, and used though nothing leads to its cluster: no endpoint of a cluster that can be reached is ready",
			isLeaving: "terminating, and used as none is ready",
		}[e.state]
	case m.drained:
		return fmt.Sprintf("cluster %s has weight 0 in the TrafficPolicy", m.id)
	case e.level == noLevel:
		return "it is not on this node, and internalTrafficPolicy is Local"
	case e.state == isNotReady:
		return "not ready"
	case e.state == isGone:
		return "terminating, and not serving any more"
	case e.state == isLeaving && c.from != isLeaving:
		return "terminating"
	case e.state == isCutOff && c.from != isCutOff:
		return fmt.Sprintf("ready, but nothing leads to cluster %s: see kubectl describe remotecluster %s", m.id, m.id)
	case !c.levels[e.level].memory.better.IsZero():
		return fmt.Sprintf("ready, but its level had failed, and is used again from %s on if it stays well",
			clock(c.levels[e.level].memory.better.Add(ch.in.Place.FailBack)))
	}
	return "levels before its own carry the flows"
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }
