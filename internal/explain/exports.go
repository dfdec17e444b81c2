package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// export looks at the ServiceExport in each cluster.
func (w *walk) export() {
	var refused []Hop
	for i := range w.Clusters {
		c := &w.Clusters[i]
		switch {
		case c.Unreadable != "":
			w.say(Unknown, c.ID(), "context "+c.Context, "%s", c.Unreadable)
			continue
		case c.ClusterSet == nil:
			w.say(Unknown, c.ID(), "ClusterSet "+v1alpha1.ClusterSetName, "the cluster belongs to no clusterset: join it (kubectl tombolo join)")
			continue
		case c.export(w.Name) == nil:
			continue
		}
		before := len(w.hops)
		if w.judgeExport(c) {
			w.exporters = append(w.exporters, c.ID())
			continue
		}
		refused = append(refused, w.hops[before:]...)
		w.hops = w.hops[:before]
	}
	for _, id := range w.notAsked() {
		if w.exported(id) {
			w.exporters = append(w.exporters, id)
			w.say(Unknown, id, w.mine("ServiceExport"), "cluster %s exports it and was not asked: name its context with --contexts", id)
		}
	}
	for _, h := range refused {
		if len(w.exporters) > 0 {
			h.State = Warning // others export it
		}
		w.hops = append(w.hops, h)
	}
	if len(w.exporters) == 0 && len(refused) == 0 {
		w.noExport()
	}
}

// judgeExport says how the cluster's export is, and whether it is in effect.
func (w *walk) judgeExport(c *Cluster) bool {
	all := w.findings(c.ID(), "ServiceExport", w.Name.Namespace, w.Name.Service)
	if len(all) == 0 {
		w.say(Good, c.ID(), w.mine("ServiceExport"), "exported")
		return true
	}
	ok := worst(all) != Failed
	for _, f := range all {
		state := Warning
		if !ok {
			state = worst(all)
		}
		w.finding(state, f)
	}
	return ok
}

// noExport says that nobody exports the name.
func (w *walk) noExport() {
	command := fmt.Sprintf("kubectl tombolo export %s -n %s, in the cluster that has the Service", w.Name.Service, w.Name.Namespace)
	if ids := w.notAsked(); len(ids) > 0 {
		w.say(Failed, w.client.ID(), w.mine("ServiceExport"), "no cluster that was asked exports it, and nothing is imported from %s, which %s not asked (--contexts): %s",
			clusterset.NameSome(ids), were(len(ids)), command)
		return
	}
	w.say(Failed, w.client.ID(), w.mine("ServiceExport"), "no cluster exports it: %s", command)
}

func were(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

// export returns the cluster's ServiceExport of the name, nil if there is none.
func (c *Cluster) export(n Name) *mcsv1beta1.ServiceExport {
	for i := range c.Exports {
		if e := &c.Exports[i]; e.Namespace == n.Namespace && e.Name == n.Service {
			return e
		}
	}
	return nil
}

// service looks at the exported Services.
func (w *walk) service() {
	for _, id := range w.exporters {
		c := w.asked(id)
		if c == nil || c.Service == nil {
			continue
		}
		var ports []string
		for _, p := range c.Service.Spec.Ports {
			ports = append(ports, fmt.Sprintf("%d/%s to %s", p.Port, cmp.Or(p.Protocol, corev1.ProtocolTCP), p.TargetPort.String()))
		}
		w.say(Good, id, w.mine("Service"), "%s, ports %s", cmp.Or(c.Service.Spec.ClusterIP, string(c.Service.Spec.Type)), strings.Join(ports, ", "))
	}
}

// endpoints looks at the endpoints that the exporting clusters have themselves.
func (w *walk) endpoints() {
	var without []Hop
	for _, id := range slices.Clone(w.exporters) {
		c := w.asked(id)
		if c == nil || c.Service == nil {
			continue
		}
		ready, all := readyOf(c.Slices)
		fault := c.endpointFault(ready, all)
		if fault == "" {
			w.say(Good, id, w.mine("EndpointSlices of Service"), "%d of %d endpoints are ready", ready, all)
			continue
		}
		without = append(without, Hop{Name: w.at, Cluster: id, Looked: w.mine("EndpointSlices of Service"), State: Failed, Message: fault})
		w.exporters = slices.DeleteFunc(w.exporters, func(x v1alpha1.ClusterID) bool { return x == id })
	}
	for _, h := range without {
		if len(w.exporters) > 0 {
			h.State = Warning // others have endpoints
		}
		w.hops = append(w.hops, h)
	}
}

// readyOf counts the endpoints of the family that has most of them.
func readyOf(all []discoveryv1.EndpointSlice) (ready, total int) {
	counts := map[discoveryv1.AddressType][2]int{}
	for i := range all {
		n := counts[all[i].AddressType]
		n[1] += len(all[i].Endpoints)
		for _, e := range all[i].Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				n[0]++
			}
		}
		counts[all[i].AddressType] = n
	}
	for _, n := range counts {
		ready, total = max(ready, n[0]), max(total, n[1])
	}
	return ready, total
}

// endpointFault says why no endpoint of the Service can answer; empty: one can.
func (c *Cluster) endpointFault(ready, total int) string {
	s := c.Service
	selector := labels.SelectorFromSet(s.Spec.Selector).String()
	switch {
	case ready > 0:
		return c.portFault()
	case len(s.Spec.Selector) == 0:
		return fmt.Sprintf("none of its %d endpoints is ready: the Service has no selector, so whoever writes its EndpointSlices says which are", total)
	case len(c.Pods) == 0:
		return fmt.Sprintf("no pod of namespace %s has the labels %s: correct the Service's selector, or start pods with these labels", s.Namespace, selector)
	}
	var pods []string
	for i := range c.Pods {
		pods = append(pods, c.Pods[i].Name+" ("+PodState(&c.Pods[i])+")")
	}
	return fmt.Sprintf("none of its %d endpoints is ready; pods: %s: kubectl -n %s describe pods -l %s", total, clusterset.NameSome(pods), s.Namespace, selector)
}

// PodState says in a word why the pod is not ready.
func PodState(p *corev1.Pod) string {
	for _, s := range p.Status.ContainerStatuses {
		if s.State.Waiting != nil && s.State.Waiting.Reason != "" {
			return s.State.Waiting.Reason
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status != corev1.ConditionTrue {
			return cmp.Or(c.Reason, "not ready")
		}
	}
	return string(p.Status.Phase)
}

// portFault names a port of the Service that no ready endpoint has, if that is so for all ports.
func (c *Cluster) portFault() string {
	var missing []string
	for _, p := range c.Service.Spec.Ports {
		if c.has(p.Name) {
			return ""
		}
		missing = append(missing, fmt.Sprintf("port %s targets %q", cmp.Or(p.Name, fmt.Sprint(p.Port)), p.TargetPort.String()))
	}
	if len(missing) == 0 {
		return ""
	}
	return fmt.Sprintf("the endpoints are ready, but have none of the Service's ports: %s, and no container of the pods has a port of that name: "+
		"correct spec.ports[].targetPort of the Service, or the name of the pods' port", strings.Join(missing, ", "))
}

// has tells whether a ready endpoint has the port of that name.
func (c *Cluster) has(port string) bool {
	for i := range c.Slices {
		if ready, _ := readyOf(c.Slices[i : i+1]); ready == 0 {
			continue
		}
		for _, p := range c.Slices[i].Ports {
			if p.Port != nil && (p.Name == nil && port == "" || p.Name != nil && *p.Name == port) {
				return true
			}
		}
	}
	return false
}
