package clusterprofile

import (
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Manager is tombolo's name as a cluster manager. It is in spec.clusterManager, which is immutable,
// and in the label that KEP-4322 has for it.
const (
	Manager      = v1alpha1.ManagedBy
	LabelManager = "x-k8s.io/cluster-manager"
)

// The properties of a profile. The first two are KEP-2149's. The last one is tombolo's: the region
// of the cluster's Member.
const (
	propertyCluster    = "cluster.clusterset.k8s.io"
	propertyClusterSet = "clusterset.k8s.io"
	propertyRegion     = "region.clusterset.tombolo.dev"
)

// wanted is the profile of a RemoteCluster. Of its conditions the profile takes over Ready and
// Reachable. tombolo does not know whether the other cluster's control plane is healthy, so the
// standard condition ControlPlaneHealthy is absent.
func wanted(kind schema.GroupVersionKind, namespace string, set *v1alpha1.ClusterSet, remote *v1alpha1.RemoteCluster) *unstructured.Unstructured {
	p := &unstructured.Unstructured{}
	p.SetGroupVersionKind(kind)
	p.SetNamespace(namespace)
	p.SetName(remote.Name)
	p.SetLabels(map[string]string{LabelManager: Manager})
	// The owner has no namespace, so the garbage collector removes the profile after it.
	_ = unstructured.SetNestedSlice(p.Object, []any{map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "RemoteCluster", "name": remote.Name, "uid": string(remote.UID),
	}}, "metadata", "ownerReferences")
	p.Object["spec"] = map[string]any{"displayName": remote.Name, "clusterManager": map[string]any{"name": Manager}}
	properties := []any{property(propertyCluster, remote.Name), property(propertyClusterSet, set.Spec.ClusterSetID)}
	if remote.Spec.Region != "" {
		properties = append(properties, property(propertyRegion, remote.Spec.Region))
	}
	p.Object["status"] = map[string]any{"conditions": conditions(remote), "properties": properties}
	return p
}

func property(name, value string) map[string]any {
	return map[string]any{"name": name, "value": value}
}

// taken are the types of the conditions that a profile takes over.
func taken() []string { return []string{v1alpha1.ConditionReady, v1alpha1.ConditionReachable} }

func conditions(remote *v1alpha1.RemoteCluster) []any {
	all := []any{}
	for _, of := range taken() {
		if c := meta.FindStatusCondition(remote.Status.Conditions, of); c != nil {
			all = append(all, map[string]any{
				"type": c.Type, "status": string(c.Status), "reason": c.Reason, "message": c.Message,
				"lastTransitionTime": c.LastTransitionTime.UTC().Format(time.RFC3339),
			})
		}
	}
	return all
}

// ours tells whether tombolo is the profile's cluster manager.
func ours(p *unstructured.Unstructured) bool {
	name, _, _ := unstructured.NestedString(p.Object, "spec", "clusterManager", "name") // of another type: not ours
	return name == Manager
}

// sameObject tells whether have is as wanted, but for its status.
func sameObject(have, want *unstructured.Unstructured) bool {
	return have.GetLabels()[LabelManager] == Manager &&
		equality.Semantic.DeepEqual(have.GetOwnerReferences(), want.GetOwnerReferences()) &&
		equality.Semantic.DeepEqual(have.Object["spec"], want.Object["spec"])
}

// sameStatus tells whether have has the conditions and properties that are ours as wanted. What
// others added counts as nothing.
func sameStatus(have, want *unstructured.Unstructured) bool {
	for _, list := range []struct {
		field, key string
		ours       []string
	}{
		{"conditions", "type", taken()},
		{"properties", "name", []string{propertyCluster, propertyClusterSet, propertyRegion}},
	} {
		for _, name := range list.ours {
			if !equality.Semantic.DeepEqual(entry(have, list.field, list.key, name), entry(want, list.field, list.key, name)) {
				return false
			}
		}
	}
	return true
}

// entry returns the entry with that key from a list in the status, or nil if the list lacks it.
func entry(p *unstructured.Unstructured, field, key, name string) any {
	all, _, _ := unstructured.NestedSlice(p.Object, "status", field) // of another type: it has none
	for _, one := range all {
		if e, ok := one.(map[string]any); ok && e[key] == name {
			return e
		}
	}
	return nil
}
