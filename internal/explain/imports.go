package explain

import (
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// hub looks at what carries the export to the client: the operators of both clusters, and the hub.
func (w *walk) hub() {
	for _, id := range w.bothEnds() {
		c := w.asked(id)
		if c == nil {
			continue
		}
		all := slices.DeleteFunc(w.findings(id, "ClusterSet", "", ""), func(f topology.Finding) bool {
			return f.Condition != v1alpha1.ConditionAccepted && f.Condition != v1alpha1.ConditionInstalled && f.Condition != v1alpha1.ConditionHubConnected
		})
		all = append(w.findings(id, "Deployment", "", ""), all...)
		if len(all) == 0 {
			w.say(Good, id, "ClusterSet "+v1alpha1.ClusterSetName, "the operator is in step with the hub")
		}
		for _, f := range all {
			state := Warning
			if worst(all) == Failed && !w.upToDate() {
				state = Failed // what flows need has not come
			}
			w.finding(state, f)
		}
	}
}

// bothEnds are the client's cluster and those that export, once each.
func (w *walk) bothEnds() []v1alpha1.ClusterID {
	ids := []v1alpha1.ClusterID{w.client.ID()}
	for _, id := range w.exporters {
		if id != w.client.ID() {
			ids = append(ids, id)
		}
	}
	return ids
}

// upToDate tells whether the client's cluster has imported as many endpoints as the exporters have,
// as far as they were asked. Then an operator or a hub that is away has lost nothing yet.
func (w *walk) upToDate() bool {
	if w.imported == nil {
		return false
	}
	for _, id := range w.exporters {
		c := w.asked(id)
		if c == nil {
			continue
		}
		ready, _ := readyOf(c.Slices)
		if w.importedFrom(id).Ready != ready {
			return false
		}
	}
	return true
}

// imports looks at the ServiceImport of the client's cluster.
func (w *walk) imports() {
	id := w.client.ID()
	if w.imported == nil {
		w.noImport()
		return
	}
	if w.imported.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy {
		w.say(Failed, id, w.mine("ServiceImport"), "tombolo did not make it (it has no label %s=%s), and does not serve it: delete it, "+
			"and tombolo makes its own", v1alpha1.LabelManagedBy, v1alpha1.ManagedBy)
		return
	}
	all := w.findings(id, "ServiceImport", w.Name.Namespace, w.Name.Service)
	for _, f := range all {
		w.finding(worst([]topology.Finding{f}), f)
	}
	for _, exporter := range w.exporters {
		w.importOf(exporter, len(all) > 0)
	}
}

// importOf looks at what the client's cluster imports from that one.
func (w *walk) importOf(exporter v1alpha1.ClusterID, wrong bool) {
	e, looked := w.importedFrom(exporter), w.mine("ServiceImport")
	switch {
	case e.Endpoints > 0:
		w.say(Good, w.client.ID(), looked, "%d of %d endpoints of cluster %s are ready", e.Ready, e.Endpoints, exporter)
		return
	case w.asked(exporter) == nil || wrong:
		return // its ServiceImport says what there is to say
	}
	why, about := w.whyNotImported(exporter)
	w.say(Warning, w.client.ID(), about, "nothing is imported from cluster %s: %s", exporter, why)
}

// noImport says why the client's cluster has no ServiceImport of the name.
func (w *walk) noImport() {
	id := w.client.ID()
	set := w.client.ClusterSet
	if set == nil {
		w.say(Failed, id, "ClusterSet "+v1alpha1.ClusterSetName, "the cluster belongs to no clusterset: join it (kubectl tombolo join)")
		return
	}
	if w.client.Namespace == nil {
		w.say(Failed, id, "Namespace "+w.Name.Namespace, "the cluster has no such namespace, and Services are imported into namespaces that exist: "+
			"kubectl create namespace %s", w.Name.Namespace)
		return
	}
	if selected, err := clusterset.Selected(set.Spec.ImportNamespaces, w.client.Namespace); err == nil && !selected {
		w.say(Failed, id, "Namespace "+w.Name.Namespace, "ClusterSet.spec.importNamespaces of the cluster does not select it: give the namespace the labels that it selects")
		return
	}
	var reasons []string
	about := w.mine("ServiceImport")
	for _, exporter := range w.exporters {
		why, object := w.whyNotImported(exporter)
		reasons, about = append(reasons, why), object
	}
	w.say(Failed, id, about, "the cluster has not imported the Service: %s", strings.Join(reasons, "; "))
}

// whyNotImported says why nothing came from that cluster, and which object says so.
func (w *walk) whyNotImported(exporter v1alpha1.ClusterID) (why, about string) {
	id := w.client.ID()
	if c := w.asked(exporter); c != nil && exporter != id {
		var policies []*v1alpha1.ExportPolicy
		for i := range c.ExportPolicies {
			policies = append(policies, &c.ExportPolicies[i])
		}
		key := types.NamespacedName{Namespace: w.Name.Namespace, Name: w.Name.Service}
		if p := clusterset.ExportPolicyFor(key, policies); p != nil && !clusterset.InAudience(&p.Spec.ExportAudience, id, w.client.ClusterSet.Status.Region) {
			return "the export of cluster " + string(exporter) + " is not for this cluster: name " + string(id) + " in spec.clusters of the ExportPolicy, or delete the policy",
				object("ExportPolicy", p.Namespace, p.Name)
		}
	}
	for _, f := range w.findings(id, "RemoteCluster", "", string(exporter)) {
		if f.Condition == v1alpha1.ConditionAccepted || f.Condition == v1alpha1.ConditionContentAccepted {
			return f.Message, "RemoteCluster " + string(exporter)
		}
	}
	if w.client.remote(exporter) == nil && exporter != id {
		return "the cluster does not know " + string(exporter) + ": is it a Member on the same hub?", "RemoteCluster " + string(exporter)
	}
	return "nothing says why: if it stays, see the logs of both operators (kubectl -n tombolo-system logs deploy/tombolo-operator)", w.mine("ServiceImport")
}

// clustersetIP looks at the addresses that the name has.
func (w *walk) clustersetIP() {
	if w.headless() {
		w.say(Good, w.client.ID(), w.mine("ServiceImport"), "headless: the name has no clusterset IP, and DNS answers with the endpoints")
		return
	}
	blocks := clusterset.VIPBlocks(w.client.ClusterSet)
	for _, ip := range w.imported.Spec.IPs {
		if addr, err := netip.ParseAddr(ip); err != nil || !clusterset.Contains(blocks, addr) {
			w.say(Failed, w.client.ID(), w.mine("ServiceImport"), "clusterset IP %s lies outside the VIP CIDRs %s, and nodes do not serve it: "+
				"is ClusterSet.spec.vipCIDRs what it was?", ip, clusterset.JoinPrefixes(blocks))
			return
		}
	}
	for _, c := range w.client.Claims {
		if slices.Contains(w.imported.Spec.IPs, c.Address.String()) {
			w.say(Failed, w.client.ID(), "Service "+c.Service, "kube-proxy sends what goes to clusterset IP %s to this Service, since its %s has it: "+
				"take the address out of there", c.Address, c.Field)
			return
		}
	}
	if len(w.imported.Spec.IPs) == 0 {
		w.say(Failed, w.client.ID(), w.mine("ServiceImport"), "it has no clusterset IP yet: if it stays, see the operator's log")
		return
	}
	w.say(Good, w.client.ID(), w.mine("ServiceImport"), "%s", strings.Join(w.imported.Spec.IPs, ", "))
}
