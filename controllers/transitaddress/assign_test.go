package transitaddress

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// blocks are those of index 2 in the clusterset demo.
var blocks = []netip.Prefix{netip.MustParsePrefix("245.0.32.0/20"), clusterset.TransitBlock6("demo", 2)}

// node was made so many seconds after 1970.
func node(name string, created int64, annotation string) metav1.PartialObjectMetadata {
	n := metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), CreationTimestamp: metav1.Unix(created, 0)}}
	if annotation != "" {
		n.Annotations = map[string]string{v1alpha1.AnnotationTransitAddress: annotation}
	}
	return n
}

// twins are two names that have the same place.
func twins(t *testing.T) (string, string) {
	t.Helper()
	seen := map[int]string{}
	for i := range clusterset.NodeAddresses {
		name := fmt.Sprintf("node-%d", i)
		place, _ := firstFree(name, nil)
		if other, twice := seen[place]; twice {
			return other, name
		}
		seen[place] = name
	}
	t.Fatal("no two names have the same place")
	return "", ""
}

func TestAssign(t *testing.T) {
	const kept, kept6 = "245.0.39.208", "fd5f:f9b7:58d1:2::7d0"
	first, second := twins(t)
	place, _ := firstFree(first, nil)
	for _, tt := range []struct {
		name  string
		nodes []metav1.PartialObjectMetadata
		known record
		want  map[string]string
	}{
		{name: "no nodes", want: map[string]string{}},
		{
			name:  "who has an address keeps it",
			nodes: []metav1.PartialObjectMetadata{node("a", 1, kept+","+kept6)},
			want:  map[string]string{"a": kept + "," + kept6},
		},
		{
			name:  "a number is kept in other blocks, and a family that is missing comes",
			nodes: []metav1.PartialObjectMetadata{node("a", 1, "245.0.23.208"), node("b", 2, "fd00::7d1")},
			want:  map[string]string{"a": kept + "," + kept6, "b": "245.0.39.209,fd5f:f9b7:58d1:2::7d1"},
		},
		{
			name:  "of two with one address the older keeps it, and the other gets that of its name",
			nodes: []metav1.PartialObjectMetadata{node(first, 2, kept), node("z", 1, kept)},
			want:  map[string]string{"z": kept + "," + kept6, first: value(blocks, place)},
		},
		{
			name:  "of two whose names have one place the second gets the next, whoever is asked first",
			nodes: []metav1.PartialObjectMetadata{node(second, 2, ""), node(first, 1, "")},
			want:  map[string]string{first: value(blocks, place), second: value(blocks, place+1)},
		},
		{
			name:  "a new node, though older, takes nothing from one that has an address",
			nodes: []metav1.PartialObjectMetadata{node(first, 1, ""), node(second, 2, value(blocks, place))},
			want:  map[string]string{second: value(blocks, place), first: value(blocks, place+1)},
		},
		{
			name:  "an older node that claims the address of one on record does not get it",
			nodes: []metav1.PartialObjectMetadata{node(first, 1, kept), node("z", 2, kept)},
			known: record{"z": 0x7d0 - 64},
			want:  map[string]string{"z": kept + "," + kept6, first: value(blocks, place)},
		},
		{
			name:  "nor if it takes the annotation of that one away, and says that it has always had it",
			nodes: []metav1.PartialObjectMetadata{node(first, 1, kept), node("z", 2, "")},
			known: record{"z": 0x7d0 - 64, types.UID(first): place},
			want:  map[string]string{"z": kept + "," + kept6, first: value(blocks, place)},
		},
		{
			name:  "a record of a node that is gone holds no address",
			nodes: []metav1.PartialObjectMetadata{node("a", 1, kept)},
			known: record{"z": 0x7d0 - 64},
			want:  map[string]string{"a": kept + "," + kept6},
		},
		{
			name:  "nonsense is no address, nor is a gateway's",
			nodes: []metav1.PartialObjectMetadata{node(first, 1, "245.0.32.7,x")},
			want:  map[string]string{first: value(blocks, place)},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 2 {
				got := assign(tt.nodes, blocks, tt.known)
				if diff := cmp.Diff(tt.want, got.values); diff != "" || len(got.full) > 0 {
					t.Errorf("full %v, (-want +got)\n%s", got.full, diff)
				}
				slices.Reverse(tt.nodes)
			}
		})
	}
	if got := assign([]metav1.PartialObjectMetadata{node("a", 1, kept)}, nil, nil); len(got.values)+len(got.full) > 0 {
		t.Errorf("without blocks: %+v", got)
	}
}

// Every address is given, each to one node, and then no more; a node that goes makes room for one.
func TestAssignAll(t *testing.T) {
	var nodes []metav1.PartialObjectMetadata
	for i := range clusterset.NodeAddresses + 2 {
		nodes = append(nodes, node(fmt.Sprintf("node-%04d", i), int64(i), ""))
	}
	got := assign(nodes, blocks, nil)
	if want := []string{"node-4032", "node-4033"}; !slices.Equal(got.full, want) {
		t.Fatalf("full: %v, want %v", got.full, want)
	}
	values := slices.Compact(slices.Sorted(maps.Values(got.values)))
	if len(values) != clusterset.NodeAddresses {
		t.Errorf("%d different addresses", len(values))
	}
	for _, v := range values {
		four, six, _ := strings.Cut(v, ",")
		if !blocks[0].Contains(netip.MustParseAddr(four)) || !blocks[1].Contains(netip.MustParseAddr(six)) {
			t.Fatalf("%s is outside the blocks", v)
		}
	}
	for i := range nodes {
		nodes[i] = node(nodes[i].Name, nodes[i].CreationTimestamp.Unix(), got.values[nodes[i].Name])
	}
	if n := len(changes(nodes, assign(nodes, blocks, nil))); n != 0 {
		t.Errorf("%d nodes change again", n)
	}
	freed := got.values["node-0007"]
	nodes = slices.DeleteFunc(nodes, func(n metav1.PartialObjectMetadata) bool { return n.Name == "node-0007" })
	next := assign(nodes, blocks, nil)
	if next.values["node-4032"] != freed || !slices.Equal(next.full, []string{"node-4033"}) {
		t.Errorf("node-4032 got %q, want %q; full %v", next.values["node-4032"], freed, next.full)
	}
}

func TestBySeniority(t *testing.T) {
	young := node("a", 2, "")
	young.CreationTimestamp = metav1.NewTime(time.Unix(2, 0).UTC()) // another zone is the same time
	got := bySeniority([]metav1.PartialObjectMetadata{node("c", 2, ""), young, node("b", 1, "")})
	if names := []string{got[0].Name, got[1].Name, got[2].Name}; !slices.Equal(names, []string{"b", "a", "c"}) {
		t.Errorf("%v", names)
	}
}
