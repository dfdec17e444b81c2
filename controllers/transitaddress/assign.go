package transitaddress

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// assignment is what the annotation of each node should be.
type assignment struct {
	// values are by node. A node whose annotation must be removed has none.
	values map[string]string
	// numbers are the nodes' numbers in the blocks.
	numbers record
	// full are the nodes for which no address is free, sorted.
	full []string
}

// record is which number this operator has seen a node to have, by the Node's UID.
type record map[types.UID]int

// assign chooses each node's transit addresses, the same number in every block. A node that has a
// number keeps it, even when the blocks change. A number that is on record is its node's, whatever
// the annotations say: nobody takes or moves one by writing an annotation. If two other nodes have
// the same number, the older one keeps it. A node without a number gets the one that belongs to its
// name, or the next that is free. So a node that is deleted and created again has its old number, and
// no other node gets that number at once.
func assign(nodes []metav1.PartialObjectMetadata, blocks []netip.Prefix, known record) assignment {
	result := assignment{values: map[string]string{}, numbers: record{}}
	if len(blocks) == 0 {
		return result
	}
	taken := map[int]bool{}
	give := func(node metav1.PartialObjectMetadata, n int) {
		taken[n] = true
		result.numbers[node.UID] = n
		result.values[node.Name] = value(blocks, n)
	}
	var unknown, without []metav1.PartialObjectMetadata
	for _, node := range bySeniority(nodes) {
		if n, is := known[node.UID]; is && !taken[n] {
			give(node, n)
		} else {
			unknown = append(unknown, node)
		}
	}
	for _, node := range unknown {
		if n, has := numberOf(node); has && !taken[n] {
			give(node, n)
		} else {
			without = append(without, node)
		}
	}
	for _, node := range without {
		if n, free := firstFree(node.Name, taken); free {
			give(node, n)
		} else {
			result.full = append(result.full, node.Name)
		}
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
