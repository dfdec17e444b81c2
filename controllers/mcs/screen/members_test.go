package screen

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func member(name string, index int32, age int, cidrs ...v1alpha1.CIDR) v1alpha1.Member {
	return v1alpha1.Member{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(time.Unix(int64(age), 0))},
		Spec:       v1alpha1.MemberSpec{Index: index, CIDRs: cidrs},
	}
}

func removed(m v1alpha1.Member) v1alpha1.Member {
	m.Spec.Removed = true
	return m
}

func TestMembers(t *testing.T) {
	inUse := func(index int32, cidrs ...v1alpha1.CIDR) v1alpha1.RemoteClusterSpec {
		return v1alpha1.RemoteClusterSpec{Index: index, CIDRs: cidrs}
	}
	own := member("east", 1, 1, "10.1.0.0/16")
	tests := []struct {
		name    string
		members []v1alpha1.Member
		inUse   map[v1alpha1.ClusterID]v1alpha1.RemoteClusterSpec
		blocks  []clusterset.Block
		want    map[v1alpha1.ClusterID]string // reasons
	}{
		{"none", nil, nil, nil, map[v1alpha1.ClusterID]string{}},
		{"all fit", []v1alpha1.Member{own, member("west", 2, 2, "10.2.0.0/18"), member("north", 3, 3, "10.3.0.0/16", "fd00:3::/64")}, nil, nil,
			map[v1alpha1.ClusterID]string{}},
		{"the older stays", []v1alpha1.Member{own, member("a", 2, 3, "10.2.0.0/16"), member("b", 3, 2, "10.2.128.0/17")}, nil, nil,
			map[v1alpha1.ClusterID]string{"a": v1alpha1.ReasonCIDROverlap}},
		{"equally old, the lower name stays", []v1alpha1.Member{own, member("b", 3, 2, "10.2.0.0/16"), member("a", 2, 2, "10.2.0.0/24")}, nil, nil,
			map[v1alpha1.ClusterID]string{"b": v1alpha1.ReasonCIDROverlap}},
		{"what is in use stays, though younger", []v1alpha1.Member{own, member("a", 2, 3, "10.2.0.0/16"), member("b", 3, 2, "10.2.0.0/16")},
			map[v1alpha1.ClusterID]v1alpha1.RemoteClusterSpec{"a": inUse(2, "10.2.0.0/16")}, nil,
			map[v1alpha1.ClusterID]string{"b": v1alpha1.ReasonCIDROverlap}},
		{"in use, its Member absent", []v1alpha1.Member{own, member("b", 3, 2, "10.2.0.0/16")},
			map[v1alpha1.ClusterID]v1alpha1.RemoteClusterSpec{"a": inUse(2, "10.2.0.0/16")}, nil,
			map[v1alpha1.ClusterID]string{"b": v1alpha1.ReasonCIDROverlap}},
		{"in use, but removed", []v1alpha1.Member{own, removed(member("a", 2, 1, "10.2.0.0/16")), member("b", 2, 2, "10.2.0.0/16")},
			map[v1alpha1.ClusterID]v1alpha1.RemoteClusterSpec{"a": inUse(2, "10.2.0.0/16")}, nil, map[v1alpha1.ClusterID]string{}},
		{"in use, changed to overlap another in use", []v1alpha1.Member{own, member("a", 2, 1, "10.3.0.0/16"), member("b", 3, 2, "10.3.0.0/16")},
			map[v1alpha1.ClusterID]v1alpha1.RemoteClusterSpec{"a": inUse(2, "10.2.0.0/16"), "b": inUse(3, "10.3.0.0/16")}, nil,
			map[v1alpha1.ClusterID]string{"a": v1alpha1.ReasonCIDROverlap}},
		{"one index", []v1alpha1.Member{own, member("a", 2, 1, "10.2.0.0/16"), member("b", 2, 2, "10.3.0.0/16")}, nil, nil,
			map[v1alpha1.ClusterID]string{"b": v1alpha1.ReasonIndexInUse}},
		{"this cluster comes first", []v1alpha1.Member{own, member("a", 1, 0, "10.2.0.0/16"), member("b", 2, 0, "10.1.0.0/24")}, nil, nil,
			map[v1alpha1.ClusterID]string{"a": v1alpha1.ReasonIndexInUse, "b": v1alpha1.ReasonCIDROverlap}},
		{"what this cluster uses", []v1alpha1.Member{own, member("a", 2, 1, "244.0.0.0/24")}, nil,
			clusterset.BlocksOf(prefixes("244.0.0.0/16"), "ClusterSet.spec.vipCIDRs"), map[v1alpha1.ClusterID]string{"a": v1alpha1.ReasonCIDROverlap}},
		{"IPv6", []v1alpha1.Member{own, member("a", 2, 1, "fd00:2::/48"), member("b", 3, 2, "fd00:2:0:5::/64")}, nil, nil,
			map[v1alpha1.ClusterID]string{"b": v1alpha1.ReasonCIDROverlap}},
		{"malformed", []v1alpha1.Member{own, member("a", 2, 1, "10.2.0.0/33")}, nil, nil,
			map[v1alpha1.ClusterID]string{"a": v1alpha1.ReasonInvalidCIDR}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in := MembersInput{Own: "east", Members: test.members, InUse: test.inUse, Blocks: test.blocks}
			got := map[v1alpha1.ClusterID]string{}
			for id, refusal := range Members(in) {
				got[id] = refusal.Reason
				if !strings.Contains(refusal.Message, string(id)) {
					t.Errorf("the message does not name %s: %s", id, refusal.Message)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMemberWithTranslation(t *testing.T) {
	m := member("west", 2, 1, "10.1.0.0/16")
	m.Spec.GlobalCIDRs = []v1alpha1.CIDR{"10.9.0.0/16"}
	got := Members(MembersInput{Own: "east", Members: []v1alpha1.Member{m}})["west"]
	if got.Reason != v1alpha1.ReasonNotSupported || !strings.Contains(got.Message, "globalCIDRs") {
		t.Errorf("got %+v", got)
	}
}

// Addresses that no pod of another cluster has are refused with every CIDR that holds them.
func TestReservedCIDRs(t *testing.T) {
	for _, cidr := range []v1alpha1.CIDR{
		"0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/1", "127.0.0.1/32", "127.0.0.0/16", "169.254.169.254/32", "169.0.0.0/8", "224.0.0.0/24",
		"239.1.1.1/32", "255.255.255.255/32", "::1/128", "fe80::/64", "fe80::/10", "8000::/1", "ff02::1/128",
	} {
		in := MembersInput{Own: "east", Members: []v1alpha1.Member{member("west", 2, 1, "10.2.0.0/16", cidr)}}
		if got := Members(in)["west"]; got.Reason != v1alpha1.ReasonReservedCIDR || !strings.Contains(got.Message, "CIDR "+string(cidr)) {
			t.Errorf("%s: got %+v", cidr, got)
		}
	}
}

func TestAcceptCIDRs(t *testing.T) {
	for _, test := range []struct {
		name    string
		accept  []netip.Prefix
		cidrs   []v1alpha1.CIDR
		outside string // empty: accepted
	}{
		{"any", nil, []v1alpha1.CIDR{"8.8.8.0/24"}, ""},
		{"inside", prefixes("10.0.0.0/8", "fd00::/8"), []v1alpha1.CIDR{"10.2.0.0/16", "fd00:2::/48", "10.0.0.0/8"}, ""},
		{"outside", prefixes("10.0.0.0/8"), []v1alpha1.CIDR{"10.2.0.0/16", "8.8.8.0/24"}, "8.8.8.0/24"},
		{"of another family", prefixes("10.0.0.0/8"), []v1alpha1.CIDR{"fd00:2::/48"}, "fd00:2::/48"},
		{"around it", prefixes("10.2.0.0/16"), []v1alpha1.CIDR{"10.0.0.0/8"}, "10.0.0.0/8"},
		{"across two", prefixes("10.2.0.0/16", "10.3.0.0/16"), []v1alpha1.CIDR{"10.2.0.0/15"}, "10.2.0.0/15"},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := MembersInput{Own: "east", Members: []v1alpha1.Member{member("west", 2, 1, test.cidrs...)}, Accept: test.accept}
			got, refused := Members(in)["west"]
			if refused != (test.outside != "") || refused && (got.Reason != v1alpha1.ReasonCIDRNotAccepted || !strings.Contains(got.Message, "CIDR "+test.outside)) {
				t.Errorf("got %+v", got)
			}
		})
	}
}
