package transitaddress

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// assignment is what the annotation of each node should be.
type assignment struct {
	// values are by node. A node whose annotation must be removed has none.
	values map[string]string
	// full are the nodes for which no address is free, sorted.
	full []string
}

// assign chooses each node's transit addresses, the same number in every block. A node that has a
// number keeps it, even when the blocks change. If two nodes have the same number, the older one
// keeps it. A node without a number gets the one that belongs to its name, or the next that is
// free. So a node that is deleted and created again has its old number, and no other node gets that
// number at once.
func assign(nodes []metav1.PartialObjectMetadata, blocks []netip.Prefix) assignment {
	result := assignment{values: map[string]string{}}
	if len(blocks) == 0 {
		return result
	}
	taken := map[int]bool{}
	var without []string
	for _, node := range bySeniority(nodes) {
		n, has := numberOf(node)
		if !has || taken[n] {
			without = append(without, node.Name)
			continue
		}
		taken[n] = true
		result.values[node.Name] = value(blocks, n)
	}
	for _, name := range without {
		n, free := firstFree(name, taken)
		if !free {
			result.full = append(result.full, name)
			continue
		}
		taken[n] = true
		result.values[name] = value(blocks, n)
	}
	slices.Sort(result.full)
	return result
}

// bySeniority sorts the nodes, the oldest first.
func bySeniority(nodes []metav1.PartialObjectMetadata) []metav1.PartialObjectMetadata {
	return slices.SortedFunc(slices.Values(nodes), func(a, b metav1.PartialObjectMetadata) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
}

// numberOf is the number in the node's annotation.
func numberOf(node metav1.PartialObjectMetadata) (n int, ok bool) {
	for _, a := range clusterset.ParseTransitAddresses(node.Annotations[v1alpha1.AnnotationTransitAddress]) {
		return clusterset.NodeAddressNumber(a)
	}
	return 0, false
}

// firstFree is the first free number from the place that SHA-256("node/" + name) gives.
func firstFree(name string, taken map[int]bool) (n int, ok bool) {
	sum := sha256.Sum256([]byte("node/" + name))
	place := int(binary.BigEndian.Uint32(sum[:4]) % clusterset.NodeAddresses)
	for i := range clusterset.NodeAddresses {
		if n := (place + i) % clusterset.NodeAddresses; !taken[n] {
			return n, true
		}
	}
	return 0, false
}

func value(blocks []netip.Prefix, n int) string {
	addrs := make([]netip.Addr, 0, len(blocks))
	for _, block := range blocks {
		addrs = append(addrs, clusterset.NodeAddress(block, n))
	}
	return clusterset.FormatTransitAddresses(addrs)
}
