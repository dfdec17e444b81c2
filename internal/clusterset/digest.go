package clusterset

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// HeartbeatAnnotations are what a member's Lease says about the objects that the member publishes:
// how many ExportedServices and GatewayNodes it has on the hub, and a digest of their names. The
// order of names does not matter.
func HeartbeatAnnotations(names []string) map[string]string {
	return map[string]string{
		v1alpha1.AnnotationPublishedCount:  strconv.Itoa(len(names)),
		v1alpha1.AnnotationPublishedDigest: digest(names),
	}
}

// HeartbeatConfirms tells whether the annotations of a member's Lease say that it publishes exactly
// these.
func HeartbeatConfirms(annotations map[string]string, names []string) bool {
	for key, value := range HeartbeatAnnotations(names) {
		if annotations[key] != value {
			return false
		}
	}
	return true
}

// SliceSet is what an ExportedService says about its slices on the hub: how many there are, and a
// digest of their names. The order of slices does not matter.
func SliceSet(found []discoveryv1.EndpointSlice) string {
	names := make([]string, 0, len(found))
	for i := range found {
		names = append(names, found[i].Name)
	}
	return strconv.Itoa(len(names)) + "-" + digest(names)
}

func digest(names []string) string {
	sum := sha256.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(names)), "\n")))
	return hex.EncodeToString(sum[:8])
}
