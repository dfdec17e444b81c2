//go:build kernel

package nftables

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

func sync(t *testing.T, node *netns.Namespace, want Config) Change {
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
	node := netns.New(t)
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

// TestReadWhileItGoes: the table is read while another process removes it and makes it again, as when
// an agent leaves and its cleanup runs.
func TestReadWhileItGoes(t *testing.T) {
	node := netns.New(t)
	var other Table
	node.ReadWhile(func() {
		for _, config := range []Config{base(), {}} {
			if _, err := other.Sync(t.Context(), config); err != nil {
				t.Error(err)
			}
		}
	}, func() (bool, error) {
		state, err := new(Table).Read(t.Context())
		return len(state.Maps) > 0, err
	})
}

// TestListing: nft can list what is written by netlink, and in the words in which it would have
// been written.
func TestListing(t *testing.T) {
	node := netns.New(t)
	want := base()
	sticky := service("[fd00:1::5]:8080", "[fd00:1::6]:8080")
	sticky.Affinity = time.Hour
	want.Services[key("[fd77::2]:80", "tcp")] = sticky
	sync(t, node, want)
	got := node.Run("nft", "list", "table", "inet", TableName)
	for name := range needed(want.layouts()) {
		c, _ := chainFor(name)
		for _, rule := range c.rules {
			if rule = inWordsOfNFT(rule); !strings.Contains(got, rule) {
				t.Errorf("no %q in\n%s", rule, got)
			}
		}
	}
	node.Run("nft", "list", "ruleset")
	node.Run("nft", "-j", "list", "ruleset")
}

// inWordsOfNFT is the rule as nft lists it.
func inWordsOfNFT(rule string) string {
	if strings.Contains(rule, "update") {
		// A match of the protocol shows in the name of the port.
		protocol, rest, _ := strings.Cut(strings.TrimPrefix(rule, "meta l4proto "), " ")
		rule = strings.Replace(rest, "th dport }", protocol+" dport }", 1)
	}
	return strings.NewReplacer("3600s", "1h", "90s", "1m30s", "reject with icmpx type port-unreachable", "reject").Replace(rule)
}

func generation(t *testing.T, node *netns.Namespace) (g uint32) {
	t.Helper()
	node.Do(func() {
		var err error
		if g, err = nft.Generation(); err != nil {
			t.Fatal(err)
		}
	})
	return g
}
