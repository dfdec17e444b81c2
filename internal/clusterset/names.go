package clusterset

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// hash is the SHA-256 of "namespace/name". As a number it places the clusterset IP of a Service.
// Its first 16 hex digits name the Service's objects on the hub.
func hash(namespace, name string) [sha256.Size]byte {
	return sha256.Sum256([]byte(namespace + "/" + name))
}

// HubName is the name on the hub of the object that cluster publishes for namespace/name:
// "<cluster>.<16 hex digits>". Readers get namespace and name from the object's spec or labels,
// never from its name.
func HubName(cluster v1alpha1.ClusterID, namespace, name string) string {
	sum := hash(namespace, name)
	return string(cluster) + "." + hex.EncodeToString(sum[:8])
}

// HubSliceName is the name of the n-th EndpointSlice of an exported Service, on the hub and where
// it is imported.
func HubSliceName(cluster v1alpha1.ClusterID, namespace, name string, n int) string {
	return fmt.Sprintf("%s.%d", HubName(cluster, namespace, name), n)
}

// DerivedServiceName is the name of the derived Service of the ServiceImport namespace/name:
// "derived-<16 hex digits>".
func DerivedServiceName(namespace, name string) string {
	sum := hash(namespace, name)
	return v1alpha1.DerivedServicePrefix + hex.EncodeToString(sum[:8])
}

// LeaseName is the name of a member's heartbeat Lease on the hub.
func LeaseName(cluster v1alpha1.ClusterID) string { return string(cluster) + ".heartbeat" }

// IdentityLeaseName is the name of the Lease on the hub that says which cluster uses the ID: its
// holder is the UID of that cluster's namespace kube-system.
func IdentityLeaseName(cluster v1alpha1.ClusterID) string { return string(cluster) + ".identity" }

// JoinSecretName is the name of the Secret on the hub that a member's join token is bound to.
func JoinSecretName(cluster v1alpha1.ClusterID) string { return string(cluster) + ".join" }

// MemberTokenRole is the name of the Role, and of its binding, by which a member renews its own
// token on the hub. A cluster ID has no dot, so this is no member's ServiceAccount.
func MemberTokenRole(cluster v1alpha1.ClusterID) string {
	return MemberServiceAccount(cluster) + ".token"
}

// MemberServiceAccount is the name of a member's ServiceAccount on the hub.
func MemberServiceAccount(cluster v1alpha1.ClusterID) string {
	return v1alpha1.MemberServiceAccountPrefix + string(cluster)
}

// SourceCluster is the cluster that an object on the hub, or an imported slice, comes from. It is
// empty if the labels do not say.
func SourceCluster(labels map[string]string) v1alpha1.ClusterID {
	return v1alpha1.ClusterID(labels[v1alpha1.LabelSourceCluster])
}
