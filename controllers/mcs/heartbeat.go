package mcs

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// HeartbeatAnnotations are what a member's Lease says of what it publishes: how many ExportedServices and GatewayNodes it
// has on the hub, and a digest of their names, whose order does not matter.
func HeartbeatAnnotations(names []string) map[string]string {
	sorted := slices.Sorted(slices.Values(names))
	sum := sha256.Sum256([]byte(strings.Join(sorted, "\n")))
	return map[string]string{
		v1alpha1.AnnotationPublishedCount:  strconv.Itoa(len(sorted)),
		v1alpha1.AnnotationPublishedDigest: hex.EncodeToString(sum[:8]),
	}
}

// HeartbeatConfirms tells whether the annotations of a member's Lease say that it publishes just these.
func HeartbeatConfirms(annotations map[string]string, names []string) bool {
	for key, value := range HeartbeatAnnotations(names) {
		if annotations[key] != value {
			return false
		}
	}
	return true
}
