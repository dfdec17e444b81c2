package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// node looks at the client's node: whether it serves, and where it sends flows.
func (w *walk) node() {
	id, looked := w.client.ID(), "Node "+w.Client.Node
	if w.Client.Node == "" {
		w.say(Unknown, id, "Node", "the cluster has no node that the client could run on")
		return
	}
	for _, f := range w.findings(id, "TrafficPolicy", "", "") {
		if f.Namespace == w.Name.Namespace && w.targets(f.Name) {
			w.finding(Warning, f)
		}
	}
	told, asked := w.client.Told[w.Client.Node]
	if told.Silent {
		told.Away = "it runs and does not answer"
	}
	if asked && told.Away != "" {
		w.say(Failed, id, "agent on node "+w.Client.Node, "%s: what the kernel has goes on, but the node does not follow changes: "+
			"kubectl get pods -A -l app.kubernetes.io/name=tombolo-dataplane --field-selector spec.nodeName=%s", told.Away, w.Client.Node)
		return
	}
	if all := w.nodeFindings(); len(all) > 0 {
		for _, f := range all {
			w.finding(worst(all), f)
		}
		return
	}
	w.ipv6(told)
	if w.headless() {
		w.say(Good, id, looked, "it serves; a headless name needs no decision of it: clients choose among the addresses")
		return
	}
	w.decision = told.Decision
	if told.Unasked != "" {
		w.say(Unknown, id, "agent on node "+w.Client.Node, "it could not be asked, so what follows is from the objects alone: %s", told.Unasked)
	}
	if w.decision == nil {
		if asked && told.Unasked == "" {
			w.say(Failed, id, looked, "the agent does not serve the ServiceImport: %s", told.NoDecision)
			return
		}
		w.decision = w.client.Planned(w.Name.Key(), w.Client.Node, "", w.Now)
	}
	w.decided(looked)
}

// nodeFindings are those of the client's node, but for its gateways: those are a hop of their own.
func (w *walk) nodeFindings() []topology.Finding {
	return slices.DeleteFunc(w.findings(w.client.ID(), "Node", "", w.Client.Node), func(f topology.Finding) bool {
		return f.Reason == v1alpha1.ReasonNoLiveGateway
	})
}

// ipv6 says whether the client's node lacks the IP family of an address of the name.
func (w *walk) ipv6(told Told) {
	if told.NoIPv6 == "" {
		return
	}
	var lost []string
	for _, ip := range w.imported.Spec.IPs {
		if strings.Contains(ip, ":") {
			lost = append(lost, ip)
		}
	}
	if len(lost) == 0 {
		return
	}
	state := Warning
	if len(lost) == len(w.imported.Spec.IPs) {
		state = Failed
	}
	w.say(state, w.client.ID(), "Node "+w.Client.Node, "it does not serve %s, since it has no IPv6: %s. Once it has, the agent serves them",
		strings.Join(lost, ", "), told.NoIPv6)
}

// targets tells whether the TrafficPolicy of that name is for the Service.
func (w *walk) targets(policy string) bool {
	for i := range w.client.TrafficPolicies {
		if p := &w.client.TrafficPolicies[i]; p.Name == policy && clusterset.PolicyTarget(p) == w.Name.Key() {
			return true
		}
	}
	return false
}

// decided says what the decision is.
func (w *walk) decided(looked string) {
	for _, p := range w.decision.Ports {
		at := fmt.Sprintf("%s, %s/%s", looked, netip.AddrPortFrom(p.Address, p.Port), p.Protocol)
		if refused(&p) {
			w.say(Failed, w.client.ID(), at, "%s", p.Outcome)
			continue
		}
		w.say(Good, w.client.ID(), at, "%s", p.Outcome)
	}
	for _, s := range w.decision.Skipped {
		w.say(Warning, w.client.ID(), looked, "%s is not served: %s", s.What, s.Why)
	}
	if len(w.decision.Ports) == 0 {
		w.say(Failed, w.client.ID(), looked, "it serves no port of the ServiceImport")
	}
}

// refused tells whether the node refuses new flows to the port.
func refused(p *Port) bool { return strings.HasPrefix(p.Outcome, plan.Refused) }

// ifDown says where flows would go without that cluster; nil: nobody asked, or nothing can be said.
func ifDown(w *walk) *IfDown {
	if w.IfDown == "" {
		return nil
	}
	decision := w.client.Planned(w.Name.Key(), w.Client.Node, w.IfDown, w.Now)
	if decision == nil {
		return nil
	}
	return &IfDown{Cluster: w.IfDown, Decision: *decision}
}
