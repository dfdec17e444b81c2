//go:build kernel

package nftables

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/dataplane/filter"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// site is a node with one pod that is a client and two that are endpoints, strict about the way
// back, with a CNI that masquerades what leaves its pods' block, and a NodePort of kube-proxy on
// port 80 of every local address.
//
//	client 10.2.0.5, fd02::5      one 10.1.1.5, fd01:1::5
//	                   node 10.2.0.1, 10.1.1.1 ...
//	                                  two 10.1.2.5, fd01:2::5
type site struct {
	t                      *testing.T
	node, client, one, two *netns.Namespace
	table                  *Table
}

func newSite(t *testing.T) *site {
	s := &site{t: t, node: netns.New(t), client: netns.New(t), one: netns.New(t), two: netns.New(t), table: new(Table)}
	for _, rp := range []string{"all", "default"} {
		s.node.Sysctl("net/ipv4/conf/"+rp+"/rp_filter", "1")
	}
	for _, pod := range []struct {
		namespace         *netns.Namespace
		device, four, six string
	}{
		{s.client, "pod0", "10.2.0", "fd02:"}, {s.one, "pod1", "10.1.1", "fd01:1:"}, {s.two, "pod2", "10.1.2", "fd01:2:"},
	} {
		s.node.Join(pod.device, pod.four+".1/24", pod.namespace, "eth0", pod.four+".5/24")
		s.node.Address(pod.device, pod.six+":1/64")
		pod.namespace.Address("eth0", pod.six+":5/64")
		pod.namespace.Route("0.0.0.0/0", pod.four+".1")
		pod.namespace.Route("::/0", pod.six+":1")
	}
	s.one.Serve("one", 8080)
	s.two.Serve("two", 8081)
	s.node.Run("ip", "route", "add", "local", "244.0.0.0/16", "dev", "lo", "src", "10.2.0.1", "table", "local")
	s.node.Run("ip", "-6", "route", "add", "local", "fd77::/112", "dev", "lo", "src", "fd02::1", "table", "local")
	s.node.Serve("node", 80)
	s.node.Run("nft", `
		add table inet kube-proxy
		add chain inet kube-proxy prerouting { type nat hook prerouting priority -100; }
		add chain inet kube-proxy output { type nat hook output priority -100; }
		add chain inet kube-proxy postrouting { type nat hook postrouting priority 100; }
		add rule inet kube-proxy prerouting fib daddr type local th dport 80 meta l4proto { tcp, udp } dnat ip to 10.1.1.5:8080
		add rule inet kube-proxy output fib daddr type local th dport 80 meta l4proto { tcp, udp } dnat ip to 10.1.1.5:8080
		add rule inet kube-proxy postrouting ip saddr 10.2.0.0/24 ip daddr != 10.2.0.0/24 masquerade`)
	return s
}

// serve programs the table, and the filter beside it.
func (s *site) serve(services map[Key]Service) Change {
	s.t.Helper()
	want := filter.Input{VIPs: prefixes("244.0.0.0/16", "fd77::/112"), Own: prefixes("10.2.0.0/16", "fd02::/64"),
		Remote: prefixes("10.1.0.0/16", "fd01::/16")}
	has := filter.Endpoints{Hairpin: []netip.Addr{netip.MustParseAddr("10.2.0.5"), netip.MustParseAddr("fd02::5")},
		Served: slices.Collect(maps.Keys(services))}
	var elements firewall.Elements[int]
	elements.Put(0, has.Elements())
	want.Endpoints = elements.Sets()
	var change Change
	s.node.Do(func() {
		if _, err := firewall.New(firewall.FilterTable).Sync(s.t.Context(), filter.Table(want)); err != nil {
			s.t.Fatal(err)
		}
		var err error
		if change, err = s.table.Sync(s.t.Context(), Config{Services: services}); err != nil {
			s.t.Fatal(err)
		}
	})
	return change
}

func prefixes(ps ...string) []netip.Prefix {
	var parsed []netip.Prefix
	for _, p := range ps {
		parsed = append(parsed, netip.MustParsePrefix(p))
	}
	return parsed
}

// ask is the answer's first word and the address that the server saw, or "refused".
func ask(from *netns.Namespace, network, address string) string {
	answer, err := from.Ask(network, address)
	// A UDP packet of the node's own fails on its way out.
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		return "refused"
	}
	if err != nil {
		return err.Error()
	}
	return answer
}

func both() (four, six Service) {
	return service("10.1.1.5:8080", "10.1.2.5:8081"), service("[fd01:1::5]:8080", "[fd01:2::5]:8081")
}

func TestTraffic(t *testing.T) {
	s := newSite(t)
	if got := ask(s.client, "tcp", "244.0.0.1:80"); !strings.HasPrefix(got, "one ") {
		t.Errorf("before, the NodePort answers %q; the test expects it to", got)
	}
	services := map[Key]Service{}
	four, six := both()
	for _, scheduler := range []Scheduler{Random, RoundRobin} {
		four.Scheduler, six.Scheduler = scheduler, scheduler
		for _, protocol := range []string{"tcp", "udp"} {
			services[key("244.0.0.1:80", protocol)] = four
			services[key("[fd77::1]:80", protocol)] = six
			services[key("244.0.0.2:80", protocol)] = service()
			services[key("[fd77::2]:80", protocol)] = service()
		}
		s.serve(services)
		for _, network := range []string{"tcp", "udp"} {
			for _, tt := range []struct {
				from         *netns.Namespace
				vip, arrives string
			}{
				{s.client, "244.0.0.1:80", "10.2.0.5"}, {s.client, "[fd77::1]:80", "fd02::5"},
				{s.node, "244.0.0.1:80", "10.2.0.1"}, {s.node, "[fd77::1]:80", "fd02::1"},
			} {
				seen := map[string]int{}
				for range 32 { // one chance in 2^31 that one of two gets none, and twice around for 16 slots
					seen[ask(tt.from, network, tt.vip)]++
				}
				if len(seen) != 2 || seen["one "+tt.arrives] == 0 || seen["two "+tt.arrives] == 0 {
					t.Errorf("%s by %s to %s, from %s: %v", network, scheduler, tt.vip, tt.arrives, seen)
				}
				// A UDP flow from a port that another one had a moment ago goes where that went.
				again := map[string]int{"tcp": 0, "udp": 2}[network]
				if n := seen["one "+tt.arrives]; scheduler == RoundRobin && (n < 16-again || n > 16+again) {
					t.Errorf("%s in turn to %s, from %s: %v", network, tt.vip, tt.arrives, seen)
				}
			}
		}
	}
	for _, network := range []string{"tcp", "udp"} {
		for _, from := range []*netns.Namespace{s.client, s.node} {
			// Nobody serves: not the node's own port 80, not the NodePort. And what is no service at all.
			for _, vip := range []string{"244.0.0.2:80", "[fd77::2]:80", "244.0.0.3:80", "244.0.0.1:81"} {
				if got := ask(from, network, vip); got != "refused" {
					t.Errorf("%s to %s: %q", network, vip, got)
				}
			}
		}
	}
	if got := ask(s.client, "tcp", "10.2.0.1:80"); !strings.HasPrefix(got, "one ") {
		t.Errorf("the NodePort itself answers %q", got)
	}
}

// TestHairpin: a pod reaches itself by way of a clusterset IP, together with dataplane/filter.
func TestHairpin(t *testing.T) {
	s := newSite(t)
	s.client.Serve("client", 8080)
	for _, network := range []string{"tcp", "udp"} {
		s.serve(map[Key]Service{key("244.0.0.1:80", network): service("10.2.0.5:8080"), key("[fd77::1]:80", network): service("[fd02::5]:8080")})
		if got := ask(s.client, network, "244.0.0.1:80"); got != "client 10.2.0.1" {
			t.Errorf("%s: %q", network, got)
		}
		if got := ask(s.client, network, "[fd77::1]:80"); got != "client fd02::1" {
			t.Errorf("%s over IPv6: %q", network, got)
		}
	}
}

// TestDistribution: new flows fall on endpoints in proportion to their weights, within three sigma.
func TestDistribution(t *testing.T) {
	s := newSite(t)
	four, _ := both()
	four.Destinations[0].Weight = 3
	s.serve(map[Key]Service{key("244.0.0.1:80", "udp"): four})
	const flows = 1000
	ones := 0
	for range flows {
		if strings.HasPrefix(ask(s.client, "udp", "244.0.0.1:80"), "one ") {
			ones++
		}
	}
	if sigma := math.Sqrt(flows * 0.75 * 0.25); math.Abs(float64(ones)-0.75*flows) > 3*sigma {
		t.Errorf("%d of %d flows to the endpoint with three quarters of the weight", ones, flows)
	}
}

// TestConsistentHash: a client's flows all go to one endpoint, and different clients' to different
// ones; the node's rules written anew change nothing of it.
func TestConsistentHash(t *testing.T) {
	s := newSite(t)
	four, six := both()
	four.Scheduler, six.Scheduler = ConsistentHash, ConsistentHash
	services := map[Key]Service{key("244.0.0.1:80", "udp"): four, key("[fd77::1]:80", "udp"): six}
	s.serve(services)
	for i := 10; i < 40; i++ {
		s.client.Address("eth0", fmt.Sprintf("10.2.0.%d/24", i))
		s.client.Address("eth0", fmt.Sprintf("fd02::%d/64", i))
	}
	answers := func() (all []string) {
		for i := 10; i < 40; i++ {
			all = append(all, askFrom(t, s.client, fmt.Sprintf("10.2.0.%d", i), "244.0.0.1:80"))
			all = append(all, askFrom(t, s.client, fmt.Sprintf("fd02::%d", i), "[fd77::1]:80"))
		}
		return all
	}
	before := fmt.Sprint(answers())
	if !strings.Contains(before, "one 10.") || !strings.Contains(before, "two 10.") || !strings.Contains(before, "one fd") || !strings.Contains(before, "two fd") {
		t.Errorf("all clients go to one endpoint: %s", before)
	}
	if after := fmt.Sprint(answers()); after != before {
		t.Errorf("clients moved: %s, then %s", before, after)
	}
	s.node.Run("nft", "delete", "table", "inet", TableName)
	s.serve(services)
	if after := fmt.Sprint(answers()); after != before {
		t.Errorf("clients moved when the table was written anew: %s, then %s", before, after)
	}
	// A destination of next to no weight needs finer slots.
	had := len(four.layout(key("244.0.0.1:80", "udp")).Slots)
	for k, service := range services {
		service.Destinations = slices.Clone(service.Destinations)
		for i := range service.Destinations {
			service.Destinations[i].Weight = 1000
		}
		last := service.Destinations[len(service.Destinations)-1]
		last.Port, last.Weight = 9, 1
		service.Destinations = append(service.Destinations, last)
		services[k] = service
		if n := len(service.layout(k).Slots); n <= had {
			t.Fatalf("%d slots, then %d: the test proves nothing", had, n)
		}
	}
	s.serve(services)
	if after := fmt.Sprint(answers()); after != before {
		t.Errorf("clients moved with the number of slots: %s, then %s", before, after)
	}
}

// askFrom sends UDP from that address of the client's.
func askFrom(t *testing.T, client *netns.Namespace, source, vip string) (answer string) {
	t.Helper()
	client.Do(func() {
		dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(source)}, Timeout: 10 * time.Second}
		conn, err := dialer.Dial("udp", vip)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		answer = netns.Exchange(t, conn)
	})
	return answer
}

// affinities are the clients that map affinity4 or affinity6 has, with their endpoints, as nft
// tells them.
func (s *site) affinities(suffix string) string {
	s.t.Helper()
	var all []string
	for _, part := range strings.FieldsFunc(s.node.Run("nft", "list", "map", "inet", TableName, "affinity"+suffix), func(r rune) bool {
		return strings.ContainsRune(",={}\n", r)
	}) {
		if client, endpoint, ok := strings.Cut(strings.TrimSpace(part), " : "); ok && strings.Contains(client, "expires") {
			all = append(all, strings.Fields(client)[0]+" "+endpoint)
		}
	}
	return strings.Join(all, ", ")
}

func TestAffinity(t *testing.T) {
	for _, tt := range []struct{ name, suffix, vip, gone string }{
		{"IPv4", "4", "244.0.0.1:80", "10.1.1.5"}, {"IPv6", "6", "[fd77::1]:80", "fd01:1::5"},
	} {
		for _, network := range []string{"tcp", "udp"} {
			t.Run(tt.name+"/"+network, func(t *testing.T) { testAffinity(t, network, tt.suffix, tt.vip, tt.gone) })
		}
	}
}

func testAffinity(t *testing.T, network, suffix, vip, one string) {
	s := newSite(t)
	four, six := both()
	if suffix == "6" {
		four = six
	}
	four.Affinity = time.Hour
	services := map[Key]Service{key(vip, network): four}
	s.serve(services)
	stays := func(from *netns.Namespace) string {
		t.Helper()
		first := ask(from, network, vip)
		for range 8 {
			if again := ask(from, network, vip); again != first {
				t.Fatalf("a client moved from %q to %q", first, again)
			}
		}
		return strings.Fields(first)[0]
	}
	client, node := stays(s.client), stays(s.node)
	if got := s.affinities(suffix); strings.Count(got, ",") != 1 {
		t.Errorf("affinities: %s; want two", got)
	}
	// The rules are written anew, and all stays.
	s.node.Run("nft", "flush", "chain", "inet", TableName, "sticky"+suffix)
	if change := s.serve(services); change.Replace || len(change.Chains) != 1 || len(change.Services) > 0 || len(change.Forget) > 0 {
		t.Errorf("after the damage: %+v", change)
	}
	if again := stays(s.client); again != client {
		t.Errorf("the client moved from %s to %s when the rules were written anew", client, again)
	}
	// An endpoint drains: those that were there move, and others do not.
	gone := 0
	if four.Destinations[0].Address.String() != one {
		t.Fatal("the test is wrong about who is the first endpoint")
	}
	if client == "two" {
		gone = 1
	}
	drained := Service{Affinity: time.Hour, Destinations: append([]Destination(nil), four.Destinations...)}
	drained.Destinations[gone].Weight = 0
	s.node.Do(func() {
		change, err := s.table.Update(t.Context(), Config{Services: map[Key]Service{key(vip, network): drained}}, []Key{key(vip, network)})
		moved := 1
		if node == client {
			moved = 2
		}
		if err != nil || len(change.Forget) != moved {
			t.Errorf("%v, %+v; want %d clients to move", err, change, moved)
		}
	})
	other := map[string]string{"one": "two", "two": "one"}[client]
	if again := stays(s.client); again != other {
		t.Errorf("the client is at %s, want %s", again, other)
	}
	if again := stays(s.node); again != other {
		t.Errorf("the node is at %s, want %s", again, other)
	}
	// It comes back, and nobody moves.
	s.serve(services)
	if again := stays(s.client); again != other {
		t.Errorf("the client moved to %s when the other endpoint came back", again)
	}
	// With a short timeout, what is not used again goes.
	four.Affinity = time.Second
	s.serve(map[Key]Service{key(vip, network): four})
	ask(s.client, network, vip)
	ask(s.node, network, vip)
	eventually(t, "affinity to end", func() bool { return s.affinities(suffix) == "" })
	// Without affinity nothing is kept.
	four.Affinity = time.Hour
	s.serve(map[Key]Service{key(vip, network): four})
	stays(s.client)
	four.Affinity = 0
	s.serve(map[Key]Service{key(vip, network): four})
	if got := s.affinities(suffix); got != "" {
		t.Errorf("affinities of a service without: %s", got)
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited a minute for %s", what)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// TestSCTP: an association through a clusterset IP, if the kernel has SCTP.
func TestSCTP(t *testing.T) {
	s := newSite(t)
	var server int
	s.one.Do(func() {
		var err error
		server, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP)
		if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ESOCKTNOSUPPORT) {
			t.Skip("this kernel has no SCTP")
		}
		if err := errors.Join(err, unix.Bind(server, &unix.SockaddrInet4{Port: 7000}), unix.Listen(server, 1)); err != nil {
			t.Fatal(err)
		}
	})
	defer unix.Close(server)
	s.serve(map[Key]Service{key("244.0.0.1:9", "sctp"): service("10.1.1.5:7000")})
	s.client.Do(func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{244, 0, 0, 1}, Port: 9}); err != nil {
			t.Error(err)
		}
	})
}
