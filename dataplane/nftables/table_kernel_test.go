//go:build kernel

package nftables

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tombolo-net/tombolo/dataplane/internal/nft"
	"github.com/tombolo-net/tombolo/dataplane/internal/testnet"
)

var compareAddresses = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

func sync(t *testing.T, node *testnet.Namespace, want Config) Change {
	t.Helper()
	var change Change
	node.Do(func() {
		var table Table
		var err error
		if change, err = table.Sync(t.Context(), want); err != nil {
			t.Fatalf("Sync: %v", err)
		}
		before, err := nft.Generation()
		if err != nil {
			t.Fatal(err)
		}
		if table.Touched() {
			t.Error("Touched after Sync")
		}
		again, err := table.Sync(t.Context(), want)
		if err != nil || !again.Empty() {
			t.Fatalf("second Sync: %+v, %v", again, err)
		}
		have, err := table.Read(t.Context())
		if diff := cmp.Diff(stateOf(want), have, compareAddresses); err != nil || diff != "" {
			t.Fatalf("Read: %v, (-want +got)\n%s", err, diff)
		}
		if after, err := nft.Generation(); err != nil || after != before {
			t.Fatalf("the second pass wrote: generation %d, then %d, %v", before, after, err)
		}
	})
	return change
}

// stateOf is the State of a kernel that has what the Config asks for.
func stateOf(c Config) State {
	if c.empty() {
		return State{}
	}
	s := State{Maps: wantedMaps(c.Counters), Chains: map[string]string{}, Services: c.layouts()}
	for name := range needed(s.Services) {
		s.Chains[name], _ = wantedDigest(name)
	}
	return s
}

func key(address, protocol string) Key {
	ap := netip.MustParseAddrPort(address)
	return Key{Address: ap.Addr(), Protocol: protocol, Port: ap.Port()}
}

func service(destinations ...string) Service {
	var s Service
	for _, d := range destinations {
		ap := netip.MustParseAddrPort(d)
		s.Destinations = append(s.Destinations, Destination{Address: ap.Addr(), Port: ap.Port(), Weight: 1})
	}
	return s
}

func base() Config {
	sticky := service("10.1.0.5:8080", "10.1.0.6:8080", "10.1.0.7:8081")
	sticky.Affinity = 90 * time.Second
	hash := service("[fd00:1::5]:8080", "[fd00:1::6]:8080")
	hash.Scheduler = ConsistentHash
	turn := service("10.1.0.5:5353")
	turn.Scheduler = RoundRobin
	return Config{Services: map[Key]Service{
		key("244.0.0.1:80", "tcp"):    sticky,
		key("244.0.0.1:53", "udp"):    turn,
		key("244.0.0.2:9", "sctp"):    service(),
		key("[fd77::1]:80", "tcp"):    hash,
		key("[fd77::1]:7000", "sctp"): service("[fd00:1::5]:7000"),
	}}
}

func TestSyncProgramsTheKernel(t *testing.T) {
	node := testnet.New(t)
	node.Run("nft", "add table inet other; add chain inet other c; add rule inet other c accept")
	before := node.Run("nft", "list", "ruleset")
	node.Do(func() {
		if err := Available(t.Context()); err != nil {
			t.Error(err)
		}
	})
	sync(t, node, base())
	sync(t, node, Config{})
	if diff := cmp.Diff(before, node.Run("nft", "list", "ruleset")); diff != "" {
		t.Errorf("after the clean-up (-before +after)\n%s", diff)
	}
}

// TestListing: nft can list what is written by netlink, and in the words in which it would have been written.
func TestListing(t *testing.T) {
	node := testnet.New(t)
	want := base()
	sticky := service("[fd00:1::5]:8080", "[fd00:1::6]:8080")
	sticky.Affinity = time.Hour
	want.Services[key("[fd77::2]:80", "tcp")] = sticky
	sync(t, node, want)
	got := node.Run("nft", "list", "chain", "inet", TableName, "remember6-3600")
	for _, protocol := range []string{"tcp", "udp", "sctp"} {
		want := "update @affinity6 { ip6 saddr . ct original ip6 daddr . meta l4proto . ct original proto-dst timeout 1h : ip6 daddr . " + protocol + " dport }"
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	node.Run("nft", "list", "ruleset")
	node.Run("nft", "-j", "list", "ruleset")
}
