package view

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// EventPrefix begins the keys of events.
const EventPrefix = "event/"

// Event is one thing that has happened.
type Event struct {
	Time    time.Time          `json:"time"`
	Cluster v1alpha1.ClusterID `json:"cluster"`
	Warning bool               `json:"warning,omitempty"`
	// Object that it happened to, such as RemoteCluster west.
	Object string `json:"object"`
	Reason string `json:"reason"`
	// Message says what happened.
	Message string `json:"message"`
	// Count is how often it has happened; zero and one: once.
	Count int32 `json:"count,omitempty"`
}

// mostAtOnce is how many events one change of the picture tells of each kind. More are counted.
const mostAtOnce = 20

// Happened is what changed from one picture to the next: links, gateways, Services, and what is not
// right. Each list is sorted.
func Happened(before, after topology.Topology, now time.Time) []Event {
	var all []Event
	all = append(all, changes(linksOf(before), linksOf(after))...)
	all = append(all, changes(gatewaysOf(before), gatewaysOf(after))...)
	all = append(all, changes(exportsOf(before), exportsOf(after))...)
	all = append(all, changes(problemsOf(before), problemsOf(after))...)
	for i := range all {
		all[i].Time = now
	}
	return all
}

// fact is what is compared. Only differing states are told.
type fact struct {
	Event
	state string
	// begun and ended are the reasons if the fact is new or no more; empty: not told.
	begun, ended string
}

func changes(before, after map[string]fact) []Event {
	var all []Event
	more := 0
	say := func(f fact, reason string) {
		if reason == "" {
			return
		}
		if len(all) == mostAtOnce {
			more++
			return
		}
		f.Reason = reason
		all = append(all, f.Event)
	}
	keys := slices.Sorted(maps.Keys(after))
	for _, key := range keys {
		now, was := after[key], before[key]
		switch {
		case was.state == "":
			say(now, now.begun)
		case was.state != now.state:
			say(now, now.state)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if was := before[key]; after[key].state == "" {
			was.Warning = false
			say(was, was.ended)
		}
	}
	if more > 0 {
		last := &all[len(all)-1]
		last.Message += fmt.Sprintf(" (and %d more of this kind at the same time)", more)
	}
	return all
}

func linksOf(t topology.Topology) map[string]fact {
	all := map[string]fact{}
	for i := range t.Clusters {
		c := &t.Clusters[i]
		for _, r := range c.Remotes {
			for _, l := range r.Links {
				message := cmp.Or(l.Message, fmt.Sprintf("round trip %d ms", l.RTTMilliseconds))
				all[LinkID(c.ID, l.Gateway, r.ID, l.RemoteGateway)] = fact{state: "Link" + string(l.State), Event: Event{Cluster: c.ID,
					Warning: l.State == v1alpha1.LinkDown, Object: fmt.Sprintf("Link %s to %s/%s", l.Gateway, r.ID, l.RemoteGateway), Message: message}}
			}
		}
	}
	return all
}

func gatewaysOf(t topology.Topology) map[string]fact {
	all := map[string]fact{}
	for i := range t.Clusters {
		c := &t.Clusters[i]
		for _, g := range c.Gateways {
			all[string(c.ID)+"/"+g.Name] = fact{state: "Gateway" + string(g.State), begun: "GatewayJoined", ended: "GatewayLeft",
				Event: Event{Cluster: c.ID, Warning: g.State != topology.GatewayReady, Object: "GatewayNode " + g.Name, Message: "the gateway is " + string(g.State)}}
		}
	}
	return all
}

func exportsOf(t topology.Topology) map[string]fact {
	all := map[string]fact{}
	for i := range t.Services {
		s := &t.Services[i]
		for _, e := range s.Exports {
			name := s.Namespace + "/" + s.Name
			all[string(e.Cluster)+"/"+name] = fact{state: "Exported", begun: "Exported", ended: "Unexported",
				Event: Event{Cluster: e.Cluster, Object: "ServiceExport " + name, Message: fmt.Sprintf("cluster %s and Service %s", e.Cluster, name)}}
		}
	}
	return all
}

func problemsOf(t topology.Topology) map[string]fact {
	all := map[string]fact{}
	for _, f := range t.Findings {
		object := f.Kind
		if f.Name != "" {
			object += " " + f.Name
		}
		if f.Namespace != "" {
			object = f.Kind + " " + f.Namespace + "/" + f.Name
		}
		key := fmt.Sprint(f.Cluster, object, f.Condition)
		all[key] = fact{state: cmp.Or(f.Reason, "Problem"), begun: cmp.Or(f.Reason, "Problem"), ended: "Mended",
			Event: Event{Cluster: f.Cluster, Warning: true, Object: object, Message: f.Message}}
	}
	return all
}
