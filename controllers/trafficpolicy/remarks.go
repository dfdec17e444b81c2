package trafficpolicy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// surroundings are what there is to say about a policy that is in effect. The zero surroundings know of nothing.
type surroundings struct {
	// backend is the ClusterSet's; empty: there is no ClusterSet.
	backend v1alpha1.DataplaneBackend
	// known are the members and regions, as names has them; nil: the hub has not told yet.
	known map[string]bool
}

// newSurroundings returns the surroundings that this cluster (nil: it is no member) and the others make.
func newSurroundings(set *v1alpha1.ClusterSet, remotes []v1alpha1.RemoteCluster) surroundings {
	if set == nil {
		return surroundings{}
	}
	s := surroundings{backend: set.Spec.Dataplane.Backend}
	if set.Status.Index == 0 {
		return s
	}
	s.known = map[string]bool{nameCluster(set.Spec.ClusterID): true, nameRegion(set.Status.Region): true}
	for _, remote := range remotes {
		s.known[nameCluster(v1alpha1.ClusterID(remote.Name))] = true
		s.known[nameRegion(remote.Spec.Region)] = true
	}
	return s
}

// remarks are what is to be known of a policy that is in effect for the target; empty: nothing.
func (s surroundings) remarks(spec *v1alpha1.TrafficPolicySpec, target *mcsv1beta1.ServiceImport) string {
	return idle(spec, target) + s.substitute(spec.Scheduler) + s.unknown(spec) + s.silent(spec, target) + repeated(spec)
}

// silent says which clusters get a share of weight above zero and do not export the Service.
func (s surroundings) silent(spec *v1alpha1.TrafficPolicySpec, target *mcsv1beta1.ServiceImport) string {
	exporters := clusterset.Exporters(target)
	var names []string
	for _, weight := range spec.Weights {
		if name := nameCluster(weight.Cluster); s.known[name] && !slices.Contains(exporters, string(weight.Cluster)) && weight.Weight > 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 || len(exporters) == 0 {
		return ""
	}
	return fmt.Sprintf("; %s, which weights give a share, does not export the Service now", listed(names))
}

// repeated says which clusters are in several steps of the failover, of which only the first counts.
func repeated(spec *v1alpha1.TrafficPolicySpec) string {
	seen, again := map[v1alpha1.ClusterID]bool{}, map[string]bool{}
	for _, step := range spec.Failover {
		for _, cluster := range step.Clusters {
			if seen[cluster] {
				again[nameCluster(cluster)] = true
			}
			seen[cluster] = true
		}
	}
	if len(again) == 0 {
		return ""
	}
	return fmt.Sprintf("; of the failover's steps only the first one with %s counts for it", listed(slices.Sorted(maps.Keys(again))))
}

// idle says if the policy has nothing to choose among.
func idle(spec *v1alpha1.TrafficPolicySpec, target *mcsv1beta1.ServiceImport) string {
	if !staysOnNode(target) || len(spec.Failover)+len(spec.Weights) == 0 {
		return ""
	}
	return "; but the Service has internalTrafficPolicy Local, so that flows stay on their node, whatever failover and weights say"
}

// staysOnNode tells whether the Service's flows go to endpoints of their own node only.
func staysOnNode(si *mcsv1beta1.ServiceImport) bool {
	policy := si.Spec.InternalTrafficPolicy
	return policy != nil && *policy == corev1.ServiceInternalTrafficPolicyLocal
}

// substitute says where another scheduler is used, because a backend lacks this one.
func (s surroundings) substitute(scheduler v1alpha1.Scheduler) string {
	for backend, name := range map[v1alpha1.DataplaneBackend]string{v1alpha1.BackendIPVS: "IPVS", v1alpha1.BackendNFTables: "nftables"} {
		instead := clusterset.SchedulerOn(backend, scheduler)
		switch {
		case instead == scheduler:
		case s.backend == backend:
			return fmt.Sprintf("; nodes serve with %s, which has no %s: they use %s", name, scheduler, instead)
		case s.backend == v1alpha1.BackendAuto:
			return fmt.Sprintf("; nodes that serve with %s have no %s and use %s", name, scheduler, instead)
		}
	}
	return ""
}

// maxNamed is how many names a message holds at most.
const maxNamed = 10

// unknown says which clusters and regions are in the policy and not in the clusterset.
func (s surroundings) unknown(spec *v1alpha1.TrafficPolicySpec) string {
	if s.known == nil {
		return ""
	}
	names := slices.DeleteFunc(names(spec), func(name string) bool { return s.known[name] })
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("; the clusterset does not have %s, which the policy names: perhaps a typo, or not joined yet", listed(names))
}

// listed are the names in one line, of very many the first ones.
func listed(names []string) string {
	more := ""
	if n := len(names) - maxNamed; n > 0 {
		names, more = names[:maxNamed], fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(names, ", ") + more
}

// names are those of the clusters and regions in the policy, sorted.
func names(spec *v1alpha1.TrafficPolicySpec) []string {
	found := map[string]bool{}
	for _, weight := range spec.Weights {
		found[nameCluster(weight.Cluster)] = true
	}
	for _, step := range spec.Failover {
		for _, cluster := range step.Clusters {
			found[nameCluster(cluster)] = true
		}
		for _, region := range step.Regions {
			found[nameRegion(region)] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func nameCluster(id v1alpha1.ClusterID) string { return "cluster " + string(id) }

func nameRegion(region string) string { return "region " + region }
