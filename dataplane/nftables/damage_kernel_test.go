//go:build kernel

package nftables

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// TestUpdate: a change writes what differs, others' transactions are told from ours, and every
// change of ours by others is found and mended.
func TestUpdate(t *testing.T) {
	node := netns.New(t)
	var table Table
	want := base()
	run := func(what string, f func() (Change, error), empty bool) (change Change) {
		t.Helper()
		node.Do(func() {
			var err error
			if change, err = f(); err != nil || change.Empty() != empty {
				t.Errorf("%s: %+v, %v; want empty: %t", what, change, err, empty)
			}
			have, err := table.Read(t.Context())
			if what == "a service goes" { // its chain stays until the next Sync: another may soon need it
				delete(have.Chains, "random4-4")
			}
			if diff := cmp.Diff(stateOf(want), have, compareAddresses); err != nil || diff != "" {
				t.Errorf("%s: Read: %v, (-want +got)\n%s", what, err, diff)
			}
		})
		return change
	}
	update := func(keys ...Key) func() (Change, error) {
		return func() (Change, error) { return table.Update(t.Context(), want, keys) }
	}
	repair := func() (Change, error) { return table.Sync(t.Context(), want) }
	touched := func(expected bool) {
		t.Helper()
		node.Do(func() {
			if got := table.Touched(); got != expected {
				t.Errorf("Touched is %t, want %t", got, expected)
			}
		})
	}
	touched(true)
	run("the first", update(), false)
	touched(false)
	run("nothing new", update(key("244.0.0.1:80", "tcp")), true)

	web, more := key("244.0.0.1:80", "tcp"), key("244.0.0.7:80", "tcp")
	want.Services[more] = service("10.1.0.5:8080", "10.1.0.6:8080", "10.1.0.7:8080", "10.1.0.8:8080")
	change := run("a service comes", update(more), false)
	// A chain that draws one of four, a verdict, four slots.
	if change.Size() != 6 {
		t.Errorf("a service comes: %d objects, want 6: %+v", change.Size(), change)
	}
	touched(false)
	before := slots(t, node)
	want.Services[more] = service("10.1.0.5:8080", "10.1.0.6:8080", "10.1.0.7:8080", "10.1.0.9:8080")
	run("an endpoint changes", update(more, web), false)
	if moved := different(before, slots(t, node)); moved != 1 {
		t.Errorf("an endpoint of four changes: %d slots moved, want 1", moved)
	}
	touched(false)
	delete(want.Services, more)
	change = run("a service goes", update(more), false)
	touched(false)
	if change.Size() != 5 {
		t.Errorf("a service goes: %d objects, want 5: %+v", change.Size(), change)
	}
	run("what is left over goes", repair, false)

	node.Run("nft", "add table inet other; add chain inet other c; add rule inet other c accept")
	touched(false)
	for _, damage := range []string{
		"add rule inet tombolo-services refuse accept",
		"flush chain inet tombolo-services random4-3",
		"flush chain inet tombolo-services remember4-90",
		"flush chain inet tombolo-services prerouting",
		"delete chain inet tombolo-services output",
		"add chain inet tombolo-services strange",
		"delete element inet tombolo-services services4 { 244.0.0.1 . tcp . 80 }",
		"delete element inet tombolo-services sticky4 { 244.0.0.1 . tcp . 80 }",
		"delete element inet tombolo-services remember4 { 244.0.0.1 . tcp . 80 }",
		"delete element inet tombolo-services slots4 { 244.0.0.1 . tcp . 80 . 1 }",
		"add element inet tombolo-services slots4 { 244.0.0.1 . tcp . 80 . 9 : 10.9.9.9 . 80 }",
		"add element inet tombolo-services slots4 { 244.0.0.1 . tcp . 80 . 99999 : 10.9.9.9 . 80 }",
		"add element inet tombolo-services slots6 { fd77::9 . icmp . 80 . 9 : fd00::9 . 80 }",
		"add element inet tombolo-services services4 { 244.0.0.9 . tcp . 80 : jump refuse }",
		"flush map inet tombolo-services slots6",
		"delete table inet tombolo-services",
		"flush ruleset",
	} {
		node.Run("nft", damage)
		touched(true)
		node.Run("nft", "add table inet other")
		touched(true)
		run(damage, repair, false)
		touched(false)
		run(damage+", again", repair, true)
	}
	// A change where the table is not as it was: it is made, and the damage mended.
	node.Run("nft", "flush map inet tombolo-services slots4")
	want.Services[web] = service("10.1.0.9:80")
	run("a change of a damaged table", update(web), false)
	touched(false)
}

// slots of map slots4 by their keys, as nft tells them.
func slots(t *testing.T, node *netns.Namespace) map[string]string {
	t.Helper()
	var listing struct {
		NFTables []struct {
			Map struct{ Elem [][2]any }
		}
	}
	if err := json.Unmarshal([]byte(node.Run("nft", "-j", "list", "map", "inet", TableName, "slots4")), &listing); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, object := range listing.NFTables {
		for _, e := range object.Map.Elem {
			all[fmt.Sprint(e[0])] = fmt.Sprint(e[1])
		}
	}
	return all
}

func different(a, b map[string]string) (n int) {
	keys := maps.Clone(a)
	maps.Copy(keys, b)
	for k := range keys {
		if a[k] != b[k] {
			n++
		}
	}
	return n
}

// TestOlderTable: a table of an older version gives way in one transaction, and so does one with
// counters to one without.
func TestOlderTable(t *testing.T) {
	fresh := netns.New(t)
	sync(t, fresh, base())
	want := strings.Split(fresh.Run("nft", "list", "table", "inet", TableName), "\n")
	slices.Sort(want)
	counters := base()
	counters.Counters = true
	for _, tt := range []struct {
		name  string
		older func(*netns.Namespace)
	}{
		{"another layout", func(node *netns.Namespace) {
			node.Run("nft", `add table inet tombolo-services
				add map inet tombolo-services services4 { type ipv4_addr . inet_service : verdict; }
				add chain inet tombolo-services old
				add chain inet tombolo-services prerouting { type nat hook prerouting priority -110; }
				add rule inet tombolo-services prerouting ip daddr . th dport vmap @services4
				add element inet tombolo-services services4 { 244.0.0.1 . 80 : goto old }`)
		}},
		// What is more than it has room for would never be taken (ENFILE).
		{"a map of limited size", func(node *netns.Namespace) {
			var script strings.Builder
			for _, m := range mappings(false) {
				object := m.object()
				typed := "type " + object.Type
				if object.TypeOf != "" {
					typed = "typeof " + object.TypeOf
				}
				if m.dynamic {
					typed += " ; size 131072 ; flags dynamic,timeout"
				} else if m.name == "slots4" {
					typed += " ; size 2"
				}
				fmt.Fprintf(&script, "add table inet tombolo-services\nadd map inet tombolo-services %s { %s ; }\n", m.name, typed)
			}
			node.Run("nft", script.String())
		}},
		{"only its name", func(node *netns.Namespace) { node.Run("nft", "add table inet tombolo-services") }},
		{"with counters", func(node *netns.Namespace) { sync(t, node, counters) }},
		{"another hook", func(node *netns.Namespace) {
			sync(t, node, base())
			node.Run("nft", `delete chain inet tombolo-services prerouting
				add chain inet tombolo-services prerouting { type nat hook prerouting priority 7; }`)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			node := netns.New(t)
			tt.older(node)
			before := generation(t, node)
			change := sync(t, node, base())
			if change.Replace != (tt.name != "another hook") {
				t.Errorf("%+v", change)
			}
			// One transaction of nft's, and one for the rule that nft cannot write.
			if after := generation(t, node); after-before > 2 {
				t.Errorf("%d transactions", after-before)
			}
			got := strings.Split(node.Run("nft", "list", "table", "inet", TableName), "\n")
			slices.Sort(got)
			if diff := cmp.Diff(trimmed(want), trimmed(got)); diff != "" {
				t.Errorf("(-fresh +got)\n%s", diff)
			}
		})
	}
}

// trimmed are the lines without what depends on the order of elements.
func trimmed(lines []string) (all []string) {
	for _, line := range lines {
		all = append(all, strings.Trim(strings.TrimPrefix(strings.TrimSpace(line), "elements = {"), " ,}"))
	}
	slices.Sort(all)
	return all
}

// TestCounters: the kernel counts flows, not packets, nft lists them, and to count is no damage.
func TestCounters(t *testing.T) {
	s := newSite(t)
	four, _ := both()
	k := key("244.0.0.1:80", "udp")
	s.serve(map[Key]Service{k: four})
	config := Config{Services: map[Key]Service{k: four}, Counters: true}
	s.node.Do(func() {
		if _, err := s.table.Update(t.Context(), config, nil); err != nil {
			t.Fatal(err)
		}
	})
	for range 7 {
		ask(s.client, "udp", "244.0.0.1:80")
	}
	if listing := s.node.Run("nft", "list", "map", "inet", TableName, "services4"); !strings.Contains(listing, "244.0.0.1 . udp . 80 counter packets 7 bytes ") {
		t.Errorf("want 7 flows: %s", listing)
	}
	s.node.Do(func() {
		if s.table.Touched() {
			t.Error("Touched because of counters")
		}
	})
}

// TestFull: when no more clients with affinity fit into the kernel's map, new ones are served on
// without, and that is told; one that has affinity keeps it.
func TestFull(t *testing.T) {
	s := newSite(t)
	four, _ := both()
	four.Affinity = time.Hour
	k := key("244.0.0.1:80", "tcp")
	services := map[Key]Service{k: four}
	s.serve(services)
	full := func() (full []string) {
		s.node.Do(func() {
			var err error
			if full, err = s.table.Full(t.Context(), Config{Services: services}); err != nil {
				t.Error(err)
			}
		})
		return full
	}
	before := ask(s.client, "tcp", "244.0.0.1:80")
	if got := full(); len(got) > 0 {
		t.Errorf("%s is full with one client", got)
	}
	s.node.Do(func() {
		for n := 1; n < MaxAffinities; { // one is there
			batch := nft.NewBatch(TableName)
			for range min(chunk, MaxAffinities-n) {
				e := Client{netip.AddrFrom4([4]byte{11, byte(n >> 16), byte(n >> 8), byte(n)}), k}.element()
				e.value = appendEndpoint(nil, netip.MustParseAddrPort("10.1.1.5:8080"))
				batch.Add(e.set, e.appendTo)
				n++
			}
			if err := batch.Commit(); err != nil {
				t.Fatal(err)
			}
		}
	})
	if got := full(); !slices.Equal(got, []string{"IPv4"}) {
		t.Errorf("full: %s, want IPv4", got)
	}
	s.client.Address("eth0", "10.2.0.6/24")
	s.client.Run("ip", "route", "replace", "default", "via", "10.2.0.1", "src", "10.2.0.6")
	seen := map[string]bool{}
	for range 64 {
		seen[strings.Fields(ask(s.client, "tcp", "244.0.0.1:80"))[0]] = true
	}
	if !maps.Equal(seen, map[string]bool{"one": true, "two": true}) {
		t.Errorf("a client without room got %v, want both endpoints", seen)
	}
	s.client.Run("ip", "route", "replace", "default", "via", "10.2.0.1", "src", "10.2.0.5")
	for range 8 {
		if got := ask(s.client, "tcp", "244.0.0.1:80"); got != before {
			t.Errorf("the client with affinity moved from %q to %q", before, got)
		}
	}
}

// TestUnavailable: what is missing is named, with the remedy.
func TestUnavailable(t *testing.T) {
	node := netns.New(t)
	available := func() (err error) {
		node.Do(func() { err = Available(t.Context()) })
		return err
	}
	t.Setenv("PATH", t.TempDir())
	if err := available(); err == nil || !strings.Contains(err.Error(), "install the package nftables") {
		t.Errorf("without nft: %v", err)
	}
	node.Do(func() {
		if _, err := new(Table).Sync(t.Context(), base()); err == nil || !strings.Contains(err.Error(), "install the package nftables") {
			t.Errorf("Sync without nft: %v", err)
		}
	})
	script := filepath.Join(os.Getenv("PATH"), "nft")
	write := func(text string) {
		if err := os.WriteFile(script, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("echo 'nftables v0.9.8 (E.D.S.)'")
	if err := available(); err == nil || !strings.Contains(err.Error(), "v1.0.1 or later") {
		t.Errorf("an old nft: %v", err)
	}
	// An nft whose kernel has no jhash.
	write(`PATH=/usr/sbin:/usr/bin:/bin
case "$1" in --version) exec nft --version;; esac
in=$(cat)
case "$in" in *jhash*) echo "Error: Could not process rule: Operation not supported" >&2; exit 1;; esac
echo "$in" | exec nft "$@"`)
	if err := available(); err == nil || !strings.Contains(err.Error(), "nft_hash") {
		t.Errorf("without jhash: %v", err)
	}
	write(`case "$1" in --version) echo nftables v1.0.6;; *) echo "Error: Could not process rule: Operation not permitted" >&2; exit 1;; esac`)
	if err := available(); err == nil || !strings.Contains(err.Error(), "NET_ADMIN") {
		t.Errorf("without the capability: %v", err)
	}
}

// TestDiagnose: what nft and the kernel really say is told with the remedy, and what they say of
// nothing is left as it is.
func TestDiagnose(t *testing.T) {
	node := netns.New(t)
	diagnosed := func() (err error) {
		node.Do(func() {
			_, err = new(Table).Sync(t.Context(), base())
			err = Diagnose(t.Context(), err)
		})
		return err
	}
	if err := diagnosed(); err != nil {
		t.Errorf("all is there: %v", err)
	}
	node.Run("nft", "delete table inet tombolo-services")
	owner := own(t, node, TableName)
	if err := diagnosed(); !errors.Is(err, ErrNotPermitted) {
		t.Errorf("another program owns the table: %v", err)
	}
	owner()
	if err := diagnosed(); err != nil {
		t.Errorf("nobody owns it: %v", err)
	}
	node.Do(func() {
		strange := errors.New("strange")
		if err := Diagnose(t.Context(), strange); err != strange {
			t.Errorf("%v became %v", strange, err)
		}
		t.Setenv("PATH", t.TempDir())
		if err := Diagnose(t.Context(), strange); !errors.Is(err, ErrNoProgram) {
			t.Errorf("without nft: %v", err)
		}
	})
}

// own has another program own a table of that name, so that nobody else may change it, until
// release.
func own(t *testing.T, node *netns.Namespace, table string) (release func()) {
	t.Helper()
	program := exec.Command("nft", "-i")
	in, err := program.StdinPipe()
	if err == nil {
		node.Do(func() { err = program.Start() })
	}
	if err == nil {
		_, err = fmt.Fprintf(in, "add table inet %s { flags owner; }\n", table)
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if strings.Contains(node.Run("nft", "list", "tables"), " "+table+"\n") {
			return func() { in.Close(); _ = program.Wait() }
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the table did not come")
	return nil
}

// TestTouchedOfLargeTable: while others write all the time, slots are compared now and then, all
// else at once.
func TestTouchedOfLargeTable(t *testing.T) {
	node := netns.New(t)
	var table Table
	touched := func(expected bool) {
		t.Helper()
		node.Do(func() {
			if got := table.Touched(); got != expected {
				t.Errorf("Touched is %t, want %t", got, expected)
			}
		})
	}
	update := func() {
		t.Helper()
		node.Do(func() {
			if _, err := table.Sync(t.Context(), large(500, 16)); err != nil {
				t.Fatal(err)
			}
		})
	}
	update()
	node.Run("nft", "add table inet other")
	touched(false)
	if since := time.Since(table.compared); since > time.Hour {
		t.Errorf("compared %s ago", since)
	}
	const damage = "delete element inet tombolo-services slots4 { 244.0.0.1 . tcp . 80 . 1 }"
	node.Run("nft", damage)
	table.compared = time.Now().Add(time.Hour) // as good as just now
	touched(false)
	table.compared = time.Time{}
	touched(true)
	update()
	touched(false)
	table.compared = time.Now().Add(time.Hour)
	node.Run("nft", "delete element inet tombolo-services services4 { 244.0.0.1 . tcp . 80 }")
	touched(true)
}
