//go:build kernel

package ipvs

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

func prefixes(ps ...string) []netip.Prefix {
	var parsed []netip.Prefix
	for _, p := range ps {
		parsed = append(parsed, netip.MustParsePrefix(p))
	}
	return parsed
}

func scopeOf(services map[Key]Service) Scope {
	return Scope{VIPs: prefixes("244.0.0.0/16", "fd77::/112"), Wanted: Config{Services: services}}
}

// sync brings the namespace's table to the scope, checks that a second pass writes nothing, and
// returns what ipvsadm says, without its header.
func sync(t *testing.T, node *netns.Namespace, scope Scope) (Result, []string) {
	t.Helper()
	var result Result
	node.Do(func() {
		var table Table
		defer table.Close()
		var err error
		if result, err = table.Sync(t.Context(), scope); err != nil {
			t.Fatalf("Sync: %v", err)
		}
		again, err := table.Sync(t.Context(), scope)
		if err != nil || again.Done.Count > 0 {
			t.Fatalf("second Sync: %v, %v", again.Done, err)
		}
		have, _, err := table.Read(t.Context(), scope)
		if diff := cmp.Diff(scope.Wanted, have, compareAddresses, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Fatalf("Read: %v, (-want +got)\n%s", err, diff)
		}
	})
	return result, list(node)
}

// list is `ipvsadm -Ln`: one line for each service with its destinations, sorted, spaces squeezed,
// counters left out.
func list(node *netns.Namespace) []string {
	var services []string
	for _, line := range strings.Split(strings.TrimSpace(node.Run("ipvsadm", "-Ln")), "\n")[3:] {
		fields := strings.Fields(line)
		if fields[0] != "->" {
			services = append(services, strings.Join(fields, " "))
			continue
		}
		services[len(services)-1] += " " + strings.Join(fields[:4], " ")
	}
	slices.Sort(services)
	return services
}

func TestSyncProgramsTheKernel(t *testing.T) {
	node := netns.New(t)
	services := map[Key]Service{
		key("244.0.0.1:80", serviceport.TCP):    service("10.1.0.5:8080", "10.1.0.6:8080"),
		key("244.0.0.1:53", serviceport.UDP):    service("10.1.0.5:5353"),
		key("244.0.0.2:9", serviceport.SCTP):    service(),
		key("[fd77::1]:80", serviceport.TCP):    service("[fd00:1::5]:8080"),
		key("[fd77::1]:7000", serviceport.SCTP): service("[fd00:1::5]:7000"),
	}
	_, got := sync(t, node, scopeOf(services))
	want := []string{
		"SCTP 244.0.0.2:9 wrr (flag-3)",
		"SCTP [fd77::1]:7000 wrr (flag-3) -> [fd00:1::5]:7000 Masq 1",
		"TCP 244.0.0.1:80 wrr (flag-3) -> 10.1.0.5:8080 Masq 1 -> 10.1.0.6:8080 Masq 1",
		"TCP [fd77::1]:80 wrr (flag-3) -> [fd00:1::5]:8080 Masq 1",
		"UDP 244.0.0.1:53 wrr (flag-3) -> 10.1.0.5:5353 Masq 1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("ipvsadm (-want +got)\n%s", diff)
	}

	changed := service("10.1.0.6:8080", "10.1.0.7:8081")
	changed.Destinations[0].Weight = 0
	changed.Affinity = 90 * time.Second
	_, got = sync(t, node, scopeOf(map[Key]Service{key("244.0.0.1:80", serviceport.TCP): changed}))
	want = []string{"TCP 244.0.0.1:80 wrr (flag-3) persistent 90 -> 10.1.0.6:8080 Masq 0 -> 10.1.0.7:8081 Masq 1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("ipvsadm after the change (-want +got)\n%s", diff)
	}

	if _, got = sync(t, node, scopeOf(nil)); len(got) > 0 {
		t.Fatalf("ipvsadm after the clean-up: %s", got)
	}
}

func TestForeignServicesAreLeftAlone(t *testing.T) {
	node := netns.New(t)
	node.Run("ipvsadm", "-A", "-t", "10.96.0.1:443", "-s", "rr", "-b", "flag-3")
	node.Run("ipvsadm", "-A", "-t", "244.0.9.9:443", "-s", "rr")
	node.Run("ipvsadm", "-a", "-t", "244.0.9.9:443", "-r", "10.3.0.1:443", "-m")
	node.Run("ipvsadm", "-A", "-f", "7", "-s", "rr")
	node.Run("ipvsadm", "-A", "-t", "244.0.0.1:80", "-s", "rr") // the same key as one of ours

	foreign := []string{
		"FWM 7 rr",
		"TCP 10.96.0.1:443 rr (flag-3)",
		"TCP 244.0.9.9:443 rr -> 10.3.0.1:443 Masq 1",
	}
	ours := "TCP 244.0.0.1:80 wrr (flag-3) -> 10.1.0.5:8080 Masq 1"

	services := map[Key]Service{key("244.0.0.1:80", serviceport.TCP): service("10.1.0.5:8080")}
	result, got := sync(t, node, scopeOf(services))
	if diff := cmp.Diff([]Key{key("244.0.9.9:443", serviceport.TCP)}, result.Foreign, compareAddresses); diff != "" {
		t.Errorf("foreign (-want +got)\n%s", diff)
	}
	want := slices.Sorted(slices.Values(append(slices.Clone(foreign), ours)))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("beside others (-want +got)\n%s", diff)
	}
	_, got = sync(t, node, scopeOf(nil))
	if diff := cmp.Diff(foreign, got); diff != "" {
		t.Errorf("after our clean-up (-want +got)\n%s", diff)
	}
}

func TestRepair(t *testing.T) {
	services := map[Key]Service{
		key("244.0.0.1:80", serviceport.TCP): service("10.1.0.5:8080", "10.1.0.6:8080"),
		key("244.0.0.2:80", serviceport.TCP): service("10.1.0.7:8080"),
	}
	all := Config{Services: services}.Keys()
	tests := []struct {
		name   string
		damage [][]string
		audit  []Key
	}{
		{"nothing", nil, all},
		{"table wiped", [][]string{{"-C"}}, nil},
		{"service deleted", [][]string{{"-D", "-t", "244.0.0.2:80"}}, nil},
		{"scheduler changed", [][]string{{"-E", "-t", "244.0.0.2:80", "-s", "rr", "-b", "flag-3"}}, nil},
		{"mark lost", [][]string{{"-E", "-t", "244.0.0.2:80", "-s", "wrr"}}, nil},
		{"destination deleted", [][]string{{"-d", "-t", "244.0.0.1:80", "-r", "10.1.0.6:8080"}}, all},
		{"destination added", [][]string{{"-a", "-t", "244.0.0.1:80", "-r", "10.9.0.6:8080", "-m"}}, all},
		{"ours of an earlier life", [][]string{{"-A", "-t", "244.0.0.3:80", "-s", "wrr", "-b", "flag-3"}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			node := netns.New(t)
			_, want := sync(t, node, scopeOf(services))
			for _, args := range tt.damage {
				node.Run("ipvsadm", args...)
			}
			node.Do(func() {
				var table Table
				defer table.Close()
				result, err := table.Repair(t.Context(), scopeOf(services), tt.audit)
				if err != nil || (result.Done.Count == 0) != (tt.damage == nil) || len(result.Foreign) > 0 {
					t.Errorf("Repair: %v, %v", result, err)
				}
				again, err := table.Repair(t.Context(), scopeOf(services), tt.audit)
				if err != nil || again.Done.Count > 0 {
					t.Errorf("second Repair: %v, %v", again, err)
				}
			})
			if diff := cmp.Diff(want, list(node)); diff != "" {
				t.Errorf("ipvsadm (-want +got)\n%s", diff)
			}
		})
	}
}

func TestApplySettlesWhatOthersDidMeanwhile(t *testing.T) {
	node := netns.New(t)
	services := map[Key]Service{key("244.0.0.1:80", serviceport.TCP): service("10.1.0.5:8080")}
	_, want := sync(t, node, scopeOf(services))
	node.Do(func() {
		var table Table
		defer table.Close()
		change := Diff(Config{}, Config{Services: services}) // all of it is there
		applied, err := table.Apply(t.Context(), change)
		if diff := cmp.Diff(Done{Count: 2, First: slices.Collect(change)}, applied, compareAddresses); err != nil || diff != "" {
			t.Errorf("adding again: %v\n%s", err, diff)
		}
		gone := map[Key]Service{key("244.0.0.8:80", serviceport.TCP): service("10.1.0.5:8080")}
		if _, err := table.Apply(t.Context(), Diff(Config{Services: gone}, Config{})); err != nil {
			t.Errorf("deleting what is gone: %v", err)
		}
		bad := map[Key]Service{key("244.0.0.9:80", serviceport.TCP): {Scheduler: "nonesuch"}}
		if _, err := table.Apply(t.Context(), Diff(Config{}, Config{Services: bad})); !errors.Is(err, ErrNoScheduler) {
			t.Errorf("a scheduler that is not there: %v", err)
		}
	})
	if diff := cmp.Diff(want, list(node)); diff != "" {
		t.Errorf("ipvsadm (-want +got)\n%s", diff)
	}
}

// TestTraffic: pod -> clusterset IP on its node -> IPVS -> pod, with the client's address kept and
// the reply coming back through the node, while the node filters by strict reverse path.
func TestTraffic(t *testing.T) {
	node, client := netns.New(t), netns.New(t)
	backends := []*netns.Namespace{netns.New(t), netns.New(t)}
	for _, rp := range []string{"all", "default"} {
		node.Sysctl("net/ipv4/conf/"+rp+"/rp_filter", "1")
	}
	node.Join("pod0", "10.2.0.1/24", client, "eth0", "10.2.0.5/24")
	node.Join("pod1", "10.1.1.1/24", backends[0], "eth0", "10.1.1.5/24")
	node.Join("pod2", "10.1.2.1/24", backends[1], "eth0", "10.1.2.5/24")
	client.Route("0.0.0.0/0", "10.2.0.1")
	backends[0].Route("0.0.0.0/0", "10.1.1.1")
	backends[1].Route("0.0.0.0/0", "10.1.2.1")
	backends[0].Serve("one", 8080)
	backends[1].Serve("two", 8081)
	node.Do(func() { anyIP(t, "244.0.0.0/16", "10.2.0.1") })
	var reports []string
	node.Do(func() {
		var sysctls Sysctls
		defer sysctls.Close()
		reports, _ = sysctls.Set()
	})
	if len(reports) > 0 {
		t.Fatalf("sysctls: %v", reports)
	}

	all := service("10.1.1.5:8080", "10.1.2.5:8081")
	sync(t, node, scopeOf(map[Key]Service{key("244.0.0.1:80", serviceport.TCP): all, key("244.0.0.1:80", serviceport.UDP): all, key("244.0.0.2:80", serviceport.TCP): service()}))
	for _, network := range []string{"tcp", "udp"} {
		for _, from := range []*netns.Namespace{client, node} {
			wantFrom := map[*netns.Namespace]string{client: "10.2.0.5", node: "10.2.0.1"}[from]
			seen := map[string]int{}
			for range 10 {
				answer, err := from.Ask(network, "244.0.0.1:80")
				if err != nil {
					t.Fatalf("%s to the clusterset IP: %v", network, err)
				}
				seen[answer]++
			}
			if diff := cmp.Diff(map[string]int{"one " + wantFrom: 5, "two " + wantFrom: 5}, seen); diff != "" {
				t.Errorf("%s answers (-want +got)\n%s", network, diff)
			}
		}
	}
	if _, err := client.Ask("tcp", "244.0.0.2:80"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a service without endpoints: %v, want a refusal", err)
	}

	// A UDP client that goes on sending from one port moves on when its endpoint goes.
	var socket net.Conn
	client.Do(func() {
		var err error
		if socket, err = net.Dial("udp", "244.0.0.1:80"); err != nil {
			t.Fatal(err)
		}
	})
	defer socket.Close()
	only := func(destination, want string) {
		t.Helper()
		sync(t, node, scopeOf(map[Key]Service{key("244.0.0.1:80", serviceport.UDP): service(destination), key("244.0.0.1:80", serviceport.TCP): service("10.1.2.5:8081")}))
		if got := exchange(t, socket); got != want {
			t.Errorf("the UDP client got %q, want %q", got, want)
		}
	}
	only("10.1.1.5:8080", "one 10.2.0.5")
	only("10.1.2.5:8081", "two 10.2.0.5")
	for range 4 {
		if answer, err := client.Ask("tcp", "244.0.0.1:80"); err != nil || answer != "two 10.2.0.5" {
			t.Errorf("after one endpoint went: %q, %v", answer, err)
		}
	}
}

// exchange sends a packet until there is an answer: one may be lost when an endpoint goes.
func exchange(t *testing.T, socket net.Conn) string {
	t.Helper()
	b := make([]byte, 64)
	for range 5 {
		if _, err := socket.Write([]byte("?")); err != nil {
			t.Fatal(err)
		}
		if err := socket.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, err := socket.Read(b); err == nil {
			return string(b[:n])
		}
	}
	return "nothing"
}

// anyIP makes every address of the block local.
func anyIP(t *testing.T, block, source string) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	_, dst, _ := net.ParseCIDR(block)
	route := &netlink.Route{Dst: dst, LinkIndex: lo.Attrs().Index, Src: net.ParseIP(source), Table: unix.RT_TABLE_LOCAL,
		Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST}
	if err := netlink.RouteAdd(route); err != nil {
		t.Fatal(err)
	}
}

// TestRecount: a service that somebody adds or deletes shows, and what the Table does itself does
// not.
func TestRecount(t *testing.T) {
	node := netns.New(t)
	scope := scopeOf(map[Key]Service{key("244.0.0.1:80", serviceport.TCP): service("10.1.1.5:8080"), key("244.0.0.2:80", serviceport.TCP): service("10.1.1.5:8080")})
	var table Table
	defer table.Close()
	same := func(want bool, after string) {
		t.Helper()
		var got bool
		if node.Do(func() { got = table.Recount() }); got != want {
			t.Errorf("the same number of services after %s: %t, want %t", after, got, want)
		}
	}
	node.Do(func() {
		if _, err := table.Sync(t.Context(), scope); err != nil {
			t.Fatal(err)
		}
	})
	same(true, "a Sync")
	node.Run("ipvsadm", "-D", "-t", "244.0.0.2:80")
	same(false, "ipvsadm -D")
	same(true, "nothing")
	node.Do(func() {
		if result, err := table.Repair(t.Context(), scope, nil); err != nil || result.Done.Count != 2 {
			t.Errorf("Repair: %v, %v; want a service and its destination", result, err)
		}
	})
	same(true, "a Repair")
	node.Run("ipvsadm", "-A", "-t", "192.0.2.1:80")
	same(false, "ipvsadm -A")
	table.Close() // and open the socket anew, with no capability but the one that the agent has
	node.Run("ipvsadm", "-D", "-t", "192.0.2.1:80")
	var got bool
	node.Do(func() {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		data := [2]unix.CapUserData{{Effective: 1 << unix.CAP_NET_ADMIN, Permitted: 1 << unix.CAP_NET_ADMIN}}
		if err := unix.Capset(&header, &data[0]); err != nil {
			t.Fatal(err)
		}
		got = table.Recount()
	})
	if got {
		t.Error("with CAP_NET_ADMIN only, a deleted service does not show")
	}
}

// TestGlance: a few services tell whether somebody has wiped the table, or changed them.
func TestGlance(t *testing.T) {
	node := netns.New(t)
	a, b := key("244.0.0.1:80", serviceport.TCP), key("[fd77::1]:53", serviceport.UDP)
	scope := scopeOf(map[Key]Service{a: service("10.1.1.5:8080"), b: service("[fd01::5]:53")})
	sync(t, node, scope)
	glance := func(keys ...Key) (well bool) {
		t.Helper()
		node.Do(func() {
			var table Table
			defer table.Close()
			var err error
			if well, err = table.Glance(t.Context(), scope.Wanted, keys); err != nil {
				t.Fatal(err)
			}
		})
		return well
	}
	if !glance() || !glance(a, b) {
		t.Error("what is as wanted looks wrong")
	}
	node.Run("ipvsadm", "-E", "-t", "244.0.0.1:80", "-s", "rr")
	if glance(a, b) || !glance(b) {
		t.Error("another scheduler was not seen, or seen where it is not")
	}
	node.Run("ipvsadm", "-C")
	if glance(a) || glance(b) {
		t.Error("an empty table looks right")
	}
}

// TestSyncKeys: so many keys that they are looked up in several requests, some of which are not
// there, and so many that the table is dumped for them.
func TestSyncKeys(t *testing.T) {
	node := netns.New(t)
	services := map[Key]Service{}
	for i := range 400 {
		address := netip.AddrFrom4([4]byte{244, 0, byte(i / 200), byte(1 + i%200)})
		services[Key{Address: address, Port: 80, Protocol: serviceport.TCP}] = service("10.1.0.5:8080", "10.1.0.6:8080")
	}
	scope := scopeOf(services)
	sync(t, node, scope)
	for _, n := range []int{lookupBatch + 4, 100} {
		keys := scope.Wanted.Keys()[:n]
		node.Run("ipvsadm", "-D", "-t", "244.0.0.2:80")
		services[keys[0]] = service("10.1.0.6:8080", "10.1.0.7:8080")
		services[keys[n-1]] = Service{Scheduler: "rr"}
		node.Do(func() {
			var table Table
			defer table.Close()
			done, err := table.SyncKeys(t.Context(), scope, keys)
			if done.Count == 0 || err != nil {
				t.Errorf("SyncKeys of %d: %v, %v", n, done, err)
			}
			if again, err := table.SyncKeys(t.Context(), scope, keys); again.Count > 0 || err != nil {
				t.Errorf("second SyncKeys of %d: %v, %v", n, again, err)
			}
		})
		got := list(node)
		for _, want := range []string{"TCP 244.0.0.1:80 wrr (flag-3) -> 10.1.0.6:8080 Masq 1 -> 10.1.0.7:8080 Masq 1",
			"TCP 244.0.0.2:80 wrr (flag-3) -> 10.1.0.5:8080 Masq 1 -> 10.1.0.6:8080 Masq 1",
			"TCP " + netip.AddrPortFrom(keys[n-1].Address, 80).String() + " rr (flag-3)"} {
			if len(got) != 400 || !slices.Contains(got, want) {
				t.Errorf("%d services, and not %q", len(got), want)
			}
		}
	}
}
