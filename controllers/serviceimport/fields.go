package serviceimport

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// acceptance is the condition Accepted of the ClusterSet as it is now; nil if package clusterset
// has not judged it yet.
func acceptance(set *v1alpha1.ClusterSet) *metav1.Condition {
	accepted := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.ConditionAccepted)
	if accepted == nil || accepted.ObservedGeneration < set.Generation {
		return nil
	}
	return accepted
}

// addressesRefused tells whether no new clusterset IPs may be assigned.
func addressesRefused(set *v1alpha1.ClusterSet) bool {
	accepted := acceptance(set)
	return accepted == nil || accepted.Reason == v1alpha1.ReasonInvalidCIDR || accepted.Reason == v1alpha1.ReasonCIDROverlap
}

// addresses are the valid addresses in the ServiceImport's spec, none if it is nil.
func addresses(have *mcsv1beta1.ServiceImport) []netip.Addr {
	if have == nil {
		return nil
	}
	var addrs []netip.Addr
	for _, ip := range have.Spec.IPs {
		if addr, err := netip.ParseAddr(ip); err == nil {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// held are the addresses that the ServiceImport holds: those that tombolo gave it. Without our label
// it holds none. The API server's record of who wrote it is no proof, because anybody may write under
// our name. Only tombolo and the cluster's admins may set the label (config/rbac).
func held(have *mcsv1beta1.ServiceImport) []netip.Addr {
	if have == nil || have.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedBy {
		return nil
	}
	return addresses(have)
}

// uid is the ServiceImport's, empty if it is nil.
func uid(have *mcsv1beta1.ServiceImport) types.UID {
	if have == nil {
		return ""
	}
	return have.UID
}
