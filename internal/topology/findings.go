package topology

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// rule says when a condition is a finding.
type rule struct {
	condition string
	wrong     metav1.ConditionStatus
	severity  Severity
	// last is true if the rules after it would say the same again.
	last bool
}

// The rules of each kind, the causes before what follows from them.
var (
	clusterSetRules = []rule{
		{v1alpha1.ConditionAccepted, metav1.ConditionFalse, SeverityError, true},
		{v1alpha1.ConditionInstalled, metav1.ConditionFalse, SeverityError, false},
		{v1alpha1.ConditionHubConnected, metav1.ConditionFalse, SeverityError, false},
		{v1alpha1.ConditionHubConnected, metav1.ConditionUnknown, SeverityWarning, false},
		{v1alpha1.ConditionAddressesApproved, metav1.ConditionFalse, SeverityError, false},
		{v1alpha1.ConditionDNSReady, metav1.ConditionFalse, SeverityError, false},
		{v1alpha1.ConditionClusterProperties, metav1.ConditionFalse, SeverityWarning, false},
	}
	remoteClusterRules = []rule{
		{v1alpha1.ConditionAccepted, metav1.ConditionFalse, SeverityError, true},
		{v1alpha1.ConditionReachable, metav1.ConditionFalse, SeverityError, false},
		{v1alpha1.ConditionReachable, metav1.ConditionUnknown, SeverityWarning, false},
		{v1alpha1.ConditionContentAccepted, metav1.ConditionFalse, SeverityWarning, false},
	}
	gatewayNodeRules = []rule{
		{v1alpha1.ConditionAlive, metav1.ConditionFalse, SeverityError, true},
		{v1alpha1.ConditionReady, metav1.ConditionFalse, SeverityError, false},
		{v1alpha1.ConditionReady, metav1.ConditionUnknown, SeverityWarning, false},
		{v1alpha1.ConditionDraining, metav1.ConditionTrue, SeverityWarning, false},
	}
	exportRules = []rule{
		{string(mcsv1beta1.ServiceExportConditionValid), metav1.ConditionFalse, SeverityError, true},
		{string(mcsv1beta1.ServiceExportConditionReady), metav1.ConditionFalse, SeverityError, false},
		{string(mcsv1beta1.ServiceExportConditionConflict), metav1.ConditionTrue, SeverityWarning, false},
	}
	importRules = []rule{
		{string(mcsv1beta1.ServiceImportConditionReady), metav1.ConditionFalse, SeverityError, false},
	}
	policyRules = []rule{
		{v1alpha1.ConditionAccepted, metav1.ConditionFalse, SeverityWarning, true},
	}
)

// findings collects what is not right in one cluster.
type findings struct {
	cluster v1alpha1.ClusterID
	all     []Finding
}

func findingsOf(snapshots []counted) []Finding {
	all := []Finding{}
	for i := range snapshots {
		f := findings{cluster: idOf(snapshots[i].Snapshot)}
		f.of(snapshots[i])
		all = append(all, f.all...)
	}
	// Equal ones keep the order of the kinds below: causes come before what follows from them.
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Cluster, b.Cluster))
	})
	return all
}

func (f *findings) of(s counted) {
	for i := range s.Hubs {
		f.hub(&s.Hubs[i])
	}
	switch {
	case s.isHubOnly():
		return
	case s.Unreadable != "":
		f.add("Cluster", nil, s.Context, s.Unreadable)
		return
	case s.ClusterSet == nil:
		f.add("ClusterSet", nil, v1alpha1.ClusterSetName,
			"the cluster belongs to no clusterset: join it (kubectl tombolo join)")
		return
	}
	if s.Behind != "" {
		f.add("Cluster", nil, s.Context, "its API server does not answer any more, so what is shown of it may be old: "+s.Behind)
	}
	f.operator(s.Snapshot)
	f.conditions("ClusterSet", s.ClusterSet, s.ClusterSet.Status.Conditions, clusterSetRules)
	f.gateways(s.Snapshot)
	live := liveGateways(s.GatewayNodes)
	for i := range s.RemoteClusters {
		rc := &s.RemoteClusters[i]
		f.conditions("RemoteCluster", rc, rc.Status.Conditions, remoteClusterRules)
		if flapping := clusterset.Flapping(rc, live); flapping != "" {
			f.all = append(f.all, Finding{Severity: SeverityWarning, Cluster: f.cluster, Kind: "RemoteCluster", Name: rc.Name, Message: flapping})
		}
	}
	for i := range s.Nodes {
		f.node(&s.Nodes[i])
	}
	for i := range s.Exports {
		f.conditions("ServiceExport", &s.Exports[i], s.Exports[i].Status.Conditions, exportRules)
	}
	for i := range s.Imports {
		si := &s.Imports[i]
		f.conditions("ServiceImport", si, si.Status.Conditions, importRules)
		f.ready(si, s.endpoints[types.NamespacedName{Namespace: si.Namespace, Name: si.Name}])
	}
	for i := range s.ExportPolicies {
		f.conditions("ExportPolicy", &s.ExportPolicies[i], s.ExportPolicies[i].Status.Conditions, policyRules)
	}
	for i := range s.TrafficPolicies {
		f.conditions("TrafficPolicy", &s.TrafficPolicies[i], s.TrafficPolicies[i].Status.Conditions, policyRules)
	}
}

// ready adds an import that has no endpoint to send flows to.
func (f *findings) ready(si *mcsv1beta1.ServiceImport, endpoints map[v1alpha1.ClusterID]Exporter) {
	all := 0
	for _, e := range endpoints {
		if e.Ready > 0 {
			return
		}
		all += e.Endpoints
	}
	f.add("ServiceImport", si, "", fmt.Sprintf("none of its %d endpoints is ready, so connections are refused: look at the pods "+
		"of the Service in %s", all, strings.Join(clusterset.Exporters(si), ", ")))
}

// conditions adds what the conditions of an object say that is wrong.
func (f *findings) conditions(kind string, o metav1.Object, conditions []metav1.Condition, rules []rule) {
	for _, r := range rules {
		c := meta.FindStatusCondition(conditions, r.condition)
		if c == nil || c.Status != r.wrong {
			continue
		}
		severity := r.severity
		if c.Reason == v1alpha1.ReasonNoGateways {
			severity = SeverityWarning // the other cluster has not joined yet, so nothing is lost
		}
		f.all = append(f.all, Finding{Severity: severity, Cluster: f.cluster, Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName(),
			Condition: c.Type, Reason: c.Reason, Message: c.Message, Since: c.LastTransitionTime.Time})
		if r.last {
			return
		}
	}
}

// add adds an error that no condition says.
func (f *findings) add(kind string, o metav1.Object, name, message string) {
	finding := Finding{Severity: SeverityError, Cluster: f.cluster, Kind: kind, Name: name, Message: message}
	if o != nil {
		finding.Namespace, finding.Name = o.GetNamespace(), o.GetName()
	}
	f.all = append(f.all, finding)
}

func (f *findings) operator(s *Snapshot) {
	if r := s.OperatorReplicas; r.Ready == 0 {
		f.add("Deployment", nil, "tombolo-operator", fmt.Sprintf("none of its %d pods is ready: exports, imports and "+
			"conditions do not change until one is; kubectl describe says why", r.Wanted))
	}
}

func (f *findings) gateways(s *Snapshot) {
	if len(s.GatewayNodes) == 0 && len(s.RemoteClusters) > 0 {
		f.add("GatewayNode", nil, "", fmt.Sprintf("the cluster has no gateway, so nothing leads to the other clusters: "+
			"kubectl label node NODE %s=true", v1alpha1.LabelGateway))
	}
	for i := range s.GatewayNodes {
		f.conditions("GatewayNode", &s.GatewayNodes[i], s.GatewayNodes[i].Status.Conditions, gatewayNodeRules)
	}
}

func (f *findings) node(node *corev1.Node) {
	c := dataplaneOf(node)
	switch {
	case c == nil:
		f.add("Node", node, "", "no dataplane has reported, so the node does not serve clusterset IPs: look at its pod of "+
			"DaemonSet tombolo-dataplane")
	case c.Status != corev1.ConditionTrue:
		f.all = append(f.all, Finding{Severity: SeverityError, Cluster: f.cluster, Kind: "Node", Name: node.Name,
			Condition: string(c.Type), Reason: c.Reason, Message: c.Message, Since: c.LastTransitionTime.Time})
	}
}
