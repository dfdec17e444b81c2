package trafficpolicy

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// surroundings are what the remarks on a policy depend on. The zero value knows nothing.
type surroundings struct {
	// backend is the ClusterSet's; empty if there is no ClusterSet.
	backend v1alpha1.DataplaneBackend
	// known are the members and regions, in the form that names returns; nil until the hub has
	// named them.
	known map[string]bool
}

// newSurroundings returns the surroundings from this cluster's ClusterSet, nil if there is none,
// and the other members.
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

// remarks are what the user should know about a policy that is in effect for the target; empty if
// nothing.
func (s surroundings) remarks(spec *v1alpha1.TrafficPolicySpec, target *mcsv1beta1.ServiceImport) string {
	return idle(spec, target) + s.substitute(spec.Scheduler) + s.unknown(spec) + s.silent(spec, target) + repeated(spec) + besides(target)
}

// silent names the clusters that have a weight above zero and do not export the Service.
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
	return fmt.Sprintf("; weights name %s, which does not export the Service now", clusterset.NameSome(names))
}

// repeated names the clusters that are in several steps of the failover. Only the first step
// counts.
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
	return fmt.Sprintf("; %s is in several steps of failover: only the first counts", clusterset.NameSome(slices.Sorted(maps.Keys(again))))
}

// besides says so if there is a way to the Service that the policy does not direct.
func besides(target *mcsv1beta1.ServiceImport) string {
	derived := target.Annotations[v1alpha1.AnnotationDerivedService]
	if derived == "" {
		return ""
	}
	return fmt.Sprintf("; it directs flows to the clusterset IP, not those to the derived Service %s, which kube-proxy serves", clusterset.Clip(derived, longestName))
}

// longestName is that of a Service, in bytes. Everybody who may write a ServiceImport's annotations
// writes there what he likes.
const longestName = 63

// idle says so if the policy has no effect because flows stay on their node.
func idle(spec *v1alpha1.TrafficPolicySpec, target *mcsv1beta1.ServiceImport) string {
	if !staysOnNode(target) || len(spec.Failover)+len(spec.Weights) == 0 {
		return ""
	}
	return "; failover and weights have no effect: the Service has internalTrafficPolicy Local, so flows stay on their node"
}

// staysOnNode tells whether the Service's flows go to endpoints of their own node only.
func staysOnNode(si *mcsv1beta1.ServiceImport) bool {
	policy := si.Spec.InternalTrafficPolicy
	return policy != nil && *policy == corev1.ServiceInternalTrafficPolicyLocal
}

// substitute says which scheduler is used where a backend lacks this one.
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

// unknown names the clusters and regions that the policy names and the clusterset does not have.
func (s surroundings) unknown(spec *v1alpha1.TrafficPolicySpec) string {
	if s.known == nil {
		return ""
	}
	names := slices.DeleteFunc(names(spec), func(name string) bool { return s.known[name] })
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("; the policy names %s, which the clusterset does not have: correct the name, or wait until it joins", clusterset.NameSome(names))
}

// names are the clusters and regions in the policy, sorted.
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
