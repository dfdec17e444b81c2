package check

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/report"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// What tombolo needs (docs/install.md).
const (
	oldestKubernetes = "1.31.0"
	oldestKernel     = "5.6.0"
	oldestCoreDNS    = "1.12.2"
)

// result is what a check found.
type result struct {
	// ID names the check for good: docs/troubleshooting.md has a heading of that name.
	ID string `json:"id"`
	// Level is good, warning or error.
	Level level `json:"level"`
	// Message says what was looked at, or what is wrong and what to do.
	Message string `json:"message"`
}

type level string

const (
	isGood    level = "good"
	isWarning level = "warning"
	isError   level = "error"
)

func (l level) mark() report.Mark {
	return map[level]report.Mark{isGood: report.Good, isWarning: report.Warn, isError: report.Bad}[l]
}

func good(id, format string, args ...any) []result {
	return []result{{id, isGood, fmt.Sprintf(format, args...)}}
}

func warning(id, format string, args ...any) []result {
	return []result{{id, isWarning, fmt.Sprintf(format, args...)}}
}

func bad(id, format string, args ...any) []result {
	return []result{{id, isError, fmt.Sprintf(format, args...)}}
}

// run runs all checks that make sense in the cluster's state.
func run(f facts) []result {
	if f.Unreadable != "" {
		return bad("api-server", "%s", f.Unreadable)
	}
	var all []result
	for _, check := range []func(facts) []result{kubernetes, kernels, systems, coreDNS, gateways} {
		all = append(all, check(f)...)
	}
	if f.ClusterSet == nil {
		return append(append(all, addresses(f)...), notJoined(f)...)
	}
	return append(all, reported(f)...)
}

// older tells whether a version is below another one. One that cannot be read is not.
func older(have, oldest string) bool {
	v, err := version.ParseGeneric(have)
	return err == nil && v.LessThan(version.MustParseGeneric(oldest))
}

func kubernetes(f facts) []result {
	if older(f.version, oldestKubernetes) {
		return bad("kubernetes-version", "Kubernetes %s refuses tombolo's kinds: upgrade the cluster to %s or later", f.version, oldestKubernetes)
	}
	return good("kubernetes-version", "Kubernetes %s", f.version)
}

func kernels(f facts) []result {
	var old []string
	for _, n := range f.Nodes {
		if kernel := n.Status.NodeInfo.KernelVersion; older(kernel, oldestKernel) {
			old = append(old, fmt.Sprintf("%s (%s)", n.Name, kernel))
		}
	}
	if len(old) > 0 {
		return bad("kernel-version", "the kernels of nodes %s lack WireGuard or nftables: upgrade them to Linux %s or later", clusterset.NameSome(old), oldestKernel)
	}
	return good("kernel-version", "all %d nodes have Linux %s or later", len(f.Nodes), oldestKernel)
}

func systems(f facts) []result {
	var others []string
	for _, n := range f.Nodes {
		if system := n.Status.NodeInfo.OperatingSystem; system != "linux" {
			others = append(others, fmt.Sprintf("%s (%s)", n.Name, system))
		}
	}
	if len(others) > 0 {
		return warning("operating-system", "pods of nodes %s cannot use clusterset IPs: only Linux nodes serve them", clusterset.NameSome(others))
	}
	return good("operating-system", "all nodes run Linux")
}

func coreDNS(f facts) []result {
	if f.coreDNS == nil {
		return warning("coredns-version", "there is no Deployment kube-system/coredns: configure your DNS server for clusterset.local (docs/dns.md)")
	}
	for _, c := range f.coreDNS.Spec.Template.Spec.Containers {
		name := c.Image[strings.LastIndex(c.Image, "/")+1:]
		if _, tag, ok := strings.Cut(name, ":"); ok && older(tag, oldestCoreDNS) {
			return bad("coredns-version", "CoreDNS %s cannot serve clusterset.local: upgrade it to %s or later", tag, oldestCoreDNS)
		}
	}
	return good("coredns-version", "CoreDNS can serve clusterset.local")
}

func gateways(f facts) []result {
	var names []string
	for _, n := range f.Nodes {
		if n.Labels[v1alpha1.LabelGateway] == "true" {
			names = append(names, n.Name)
		}
	}
	switch {
	case len(names) == 0 && f.ClusterSet == nil:
		return good("gateway-nodes", "no node is a gateway yet: kubectl tombolo join --gateways names them")
	case len(names) == 0:
		return bad("gateway-nodes", "no node is a gateway, so nothing leads to other clusters: kubectl label node NODE %s=true", v1alpha1.LabelGateway)
	case len(names) == 1 && len(f.Nodes) > 1:
		return warning("gateway-nodes", "only node %s is a gateway: while it is away, other clusters cannot be reached. Label a second one: "+
			"kubectl label node NODE %s=true", names[0], v1alpha1.LabelGateway)
	}
	return good("gateway-nodes", "gateways: %s", clusterset.NameSome(names))
}

// defaults are the blocks that a ClusterSet has unless its admin names others.
var defaults = []netip.Prefix{netip.MustParsePrefix("244.0.0.0/16"), netip.MustParsePrefix("245.0.0.0/8")}

// addresses looks whether the cluster uses the blocks that tombolo uses by default.
func addresses(f facts) []result {
	for _, n := range f.Nodes {
		used := slices.Clone(n.Spec.PodCIDRs)
		for _, a := range n.Status.Addresses {
			if addr, err := netip.ParseAddr(a.Address); err == nil && a.Type == corev1.NodeInternalIP {
				used = append(used, netip.PrefixFrom(addr, addr.BitLen()).String())
			}
		}
		for _, u := range used {
			block, err := netip.ParsePrefix(u)
			if err == nil && slices.ContainsFunc(defaults, block.Overlaps) {
				return bad("pod-cidrs", "%s of node %s lies in a block that tombolo uses by default: install with manifests, and name other blocks in "+
					"ClusterSet.spec.vipCIDRs and spec.transitCIDR", u, n.Name)
			}
		}
	}
	return good("pod-cidrs", "no node uses 244.0.0.0/16 or 245.0.0.0/8")
}

func notJoined(f facts) []result {
	if !f.mayInstall {
		return bad("rights", "you may not do everything in this cluster, which installing takes: use the context of an admin")
	}
	return append(good("rights", "you may install tombolo"), good("joined", "the cluster belongs to no clusterset yet: kubectl tombolo join")...)
}

// reported sums up what operator and agents report, a line for each kind that is as it should be.
func reported(f facts) []result {
	wrong := map[string][]result{}
	for _, finding := range topology.Of([]topology.Snapshot{f.Snapshot}).Findings {
		id := idOf(finding)
		l := isError
		if finding.Severity == topology.SeverityWarning {
			l = isWarning
		}
		name := strings.Trim(finding.Namespace+"/"+finding.Name, "/")
		reason := ""
		if finding.Reason != "" {
			reason = fmt.Sprintf(" (%s)", finding.Reason)
		}
		wrong[id] = append(wrong[id], result{id, l, strings.TrimSpace(finding.Kind+" "+name) + reason + ": " + finding.Message})
	}
	var all []result
	for _, group := range []struct{ id, fine string }{
		{"operator", "the operator runs"},
		{"clusterset", "the installation is complete, and the ClusterSet is accepted"},
		{"hub", "the operator is in step with the hub"},
		{"pod-cidrs", "the pods of all nodes are in the approved CIDRs"},
		{"dns", "CoreDNS is configured for clusterset.local"},
		{"gateways", "all gateways are ready"},
		{"remote-clusters", "all other clusters are accepted and can be reached"},
		{"nodes", "all nodes serve clusterset IPs"},
		{"exports", "all ServiceExports are valid, and none conflicts"},
		{"imports", "all ServiceImports have ready endpoints"},
		{"policies", "all policies are in effect"},
	} {
		if len(wrong[group.id]) == 0 {
			all = append(all, good(group.id, "%s", group.fine)...)
			continue
		}
		all = append(all, wrong[group.id]...)
	}
	return all
}

// idOf is the check that a finding belongs to.
func idOf(f topology.Finding) string {
	switch f.Kind {
	case "Deployment":
		return "operator"
	case "ClusterSet":
		switch f.Condition {
		case v1alpha1.ConditionHubConnected:
			return "hub"
		case v1alpha1.ConditionAddressesApproved:
			return "pod-cidrs"
		case v1alpha1.ConditionDNSReady:
			return "dns"
		}
		return "clusterset"
	case "GatewayNode":
		return "gateways"
	case "RemoteCluster":
		return "remote-clusters"
	case "Node":
		return "nodes"
	case "ServiceExport":
		return "exports"
	case "ServiceImport":
		return "imports"
	}
	return "policies"
}
