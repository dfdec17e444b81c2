//go:build kernel

package liveness

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/dataplane/filter"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// The addresses of a worker and of a gateway, on the underlay and beyond.
var (
	workerIP, gatewayIP   = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	workerMAC, gatewayMAC = vxlan.MAC{2, 5: 1}, vxlan.MAC{2, 5: 2}
	transit               = netip.MustParseAddr("245.0.32.64")
	probed                = netip.MustParseAddrPort("245.0.32.0:7472")
)

// newNodes are a worker and a gateway that answers as the dataplane has it answer.
func newNodes(t testing.TB) (worker, gateway *netns.Namespace) {
	worker, gateway = netns.New(t), netns.New(t)
	worker.Join("eth0", "192.0.2.1/24", gateway, "eth0", "192.0.2.2/24")
	overlay := func(n *netns.Namespace, own, other netip.Addr, ownMAC, otherMAC vxlan.MAC, routes route.Config) {
		n.Do(func() {
			config := vxlan.Config{
				Devices:    []vxlan.Device{{Name: vxlan.Name, ID: 7473, Port: 7473, Local: own, MTU: 1450, MAC: ownMAC}},
				Neighbours: []vxlan.Neighbour{{Device: vxlan.Name, Address: other, MAC: otherMAC}},
				Forwards:   []vxlan.Forward{{Device: vxlan.Name, MAC: otherMAC, Underlay: other}},
			}
			if _, err := vxlan.Sync(t.Context(), config, vxlan.Name); err != nil {
				t.Fatal(err)
			}
			if _, err := route.DataplaneOwner().Sync(t.Context(), routes); err != nil {
				t.Fatal(err)
			}
		})
	}
	via := func(table int, dst string, hop netip.Addr) route.Route {
		return route.Route{Key: route.Key{Table: table, Destination: netip.MustParsePrefix(dst), Metric: route.Metric}, Type: route.Unicast,
			Hops: []route.NextHop{{Link: vxlan.Name, Gateway: hop, OnLink: true}}}
	}
	overlay(worker, workerIP, gatewayIP, workerMAC, gatewayMAC, route.Config{
		Routes: []route.Route{via(route.TableRemote, "245.0.32.0/32", gatewayIP),
			{Key: route.Key{Table: route.TableLocal, Destination: netip.PrefixFrom(transit, 32), Metric: route.MetricTransit}, Type: route.Local}},
		Rules: []route.Rule{{Table: route.TableRemote, Priority: route.TableRemote}},
	})
	overlay(gateway, gatewayIP, workerIP, gatewayMAC, workerMAC, route.Config{
		Routes: []route.Route{via(route.TableNodes, "245.0.32.0/20", workerIP)},
		Rules:  []route.Rule{{Table: route.TableNodes, Priority: route.TableNodes, To: netip.MustParsePrefix("245.0.32.0/20")}},
	})
	gateway.Address(vxlan.Name, "245.0.32.0/32")
	// The gateway's own TCP would answer, too.
	gateway.Run("nft", "add table inet fw; add chain inet fw in { type filter hook input priority 0; policy drop; };"+
		"add rule inet fw in udp dport 7473 accept")
	return worker, gateway
}

func answers(t testing.TB, gateway *netns.Namespace) {
	gateway.Do(func() {
		want := filter.Table(filter.Input{Remote: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, Tunnel: []netip.Addr{probed.Addr()}})
		if _, err := firewall.New(firewall.FilterTable).Sync(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	})
}

// TestProber: a gateway is unknown until it answers, dead when it stops, and alive when it answers
// again. Its questions use no more than three ports, and leave no connection behind.
func TestProber(t *testing.T) {
	worker, gateway := newNodes(t)
	news := make(chan struct{}, 100)
	prober, err := New(func() { news <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); prober.Run(ctx) }()
	worker.Do(func() {
		if err := prober.Watch(Interval(3), []Target{{Gateway: "g", Source: transit, Address: probed}}); err != nil {
			t.Fatal(err)
		}
	})
	expect := func(want State) {
		t.Helper()
		select {
		case <-news:
		case <-time.After(time.Minute):
			t.Fatalf("no news, want %s", want)
		}
		if got := prober.Verdicts()["g"].State; got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
	prober.Wait(ctx, 600*time.Millisecond)
	if got := prober.Verdicts()["g"].State; got != Unknown || len(news) > 0 {
		t.Fatalf("a gateway that has never answered is %s", got)
	}
	answers(t, gateway)
	expect(Alive)
	prober.Wait(ctx, time.Hour)
	gateway.Run("nft", "add table inet cut; add chain inet cut in { type filter hook prerouting priority -500; policy drop; }")
	begin := time.Now()
	expect(Dead)
	t.Logf("dead after %s", time.Since(begin).Round(time.Millisecond))
	gateway.Run("nft", "delete table inet cut")
	expect(Alive)
	if sockets := worker.Run("ss", "-Htan"); strings.Count(sockets, "\n") > outstanding {
		t.Errorf("sockets of one gateway:\n%s", sockets)
	}
	if err := prober.Failure(); err != nil {
		t.Error(err)
	}
	worker.Run("ip", "link", "del", vxlan.Name)
	time.Sleep(2 * time.Second)
	if got := prober.Verdicts()["g"].State; got != Alive || prober.Failure() == nil {
		t.Errorf("questions cannot go out (%v), and the gateway is %s", prober.Failure(), got)
	}
	cancel()
	<-done
	if err := prober.Watch(shortest, nil); err != nil {
		t.Errorf("after the end: %v", err)
	}
}

// BenchmarkWorker is what one question and its answer cost a worker and a gateway together, which share
// a CPU here.
func BenchmarkWorker(b *testing.B) {
	worker, gateway := newNodes(b)
	answers(b, gateway)
	worker.Do(func() {
		q, err := newQuestion(transit)
		if err != nil {
			b.Fatal(err)
		}
		defer q.close()
		begin := cpuTime(b, unix.RUSAGE_THREAD)
		for b.Loop() {
			if err := q.ask(probed, time.Now()); err != nil {
				b.Fatal(err)
			}
			if err := waitFor(q); err != nil || !q.answer() {
				b.Fatalf("no answer: %v", err)
			}
		}
		report(b, cpuTime(b, unix.RUSAGE_THREAD)-begin, "two_gateways_cpu_percent", 2/shortest.Seconds())
	})
}

// BenchmarkProber is what a process needs that asks two gateways and does nothing else, both gateways
// among it: -test.benchtime=30s takes that long.
func BenchmarkProber(b *testing.B) {
	worker, gateway := newNodes(b)
	answers(b, gateway)
	prober, err := New(func() {})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { defer close(done); prober.Run(ctx) }()
	worker.Do(func() {
		if err := prober.Watch(shortest, []Target{{Gateway: "g", Source: transit, Address: probed}, {Gateway: "h", Source: transit, Address: probed}}); err != nil {
			b.Fatal(err)
		}
	})
	prober.Wait(ctx, time.Minute)
	begin := cpuTime(b, unix.RUSAGE_SELF)
	for b.Loop() {
		time.Sleep(time.Second)
	}
	used := cpuTime(b, unix.RUSAGE_SELF) - begin
	b.ReportMetric(used.Seconds()/float64(b.N)*100, "cpu_percent")
	cancel()
	<-done
}

// BenchmarkGateway is what a question costs a gateway: the packets come ready-made in VXLAN, and the
// answers are dropped where they arrive. Sending and dropping them is in it.
func BenchmarkGateway(b *testing.B) {
	worker, gateway := newNodes(b)
	answers(b, gateway)
	gateway.Run("nft", "add table inet count; add chain inet count out { type filter hook output priority 0; };"+
		"add rule inet count out ip saddr 245.0.32.0 tcp flags rst counter")
	worker.Run("nft", "add table inet cut; add chain inet cut in { type filter hook prerouting priority -500; };"+
		"add rule inet cut in iifname tombolo-vx drop")
	var sent int
	worker.Do(func() {
		conn, err := net.Dial("udp4", netip.AddrPortFrom(gatewayIP, 7473).String())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		packet, begin := syn(), cpuTime(b, unix.RUSAGE_THREAD)
		for b.Loop() {
			if _, err := conn.Write(packet); err != nil {
				b.Fatal(err)
			}
			sent++
		}
		report(b, cpuTime(b, unix.RUSAGE_THREAD)-begin, "cpu_percent_at_1000_workers", 1000/Interval(1000).Seconds())
	})
	var answered int
	text := gateway.Run("nft", "list", "table", "inet", "count")
	if _, err := fmt.Sscanf(text[strings.Index(text, "packets"):], "packets %d", &answered); err != nil {
		b.Fatal(err)
	}
	if answered < sent*9/10 {
		b.Fatalf("%d of %d questions were answered", answered, sent)
	}
}

// cpuTime is that of this thread or of the process. The thread that sends packets also delivers them,
// as long as the kernel keeps up.
func cpuTime(b *testing.B, who int) time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(who, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// report says how much CPU one question takes, and how much of a CPU that many in a second do.
func report(b *testing.B, used time.Duration, name string, each float64) {
	b.ReportMetric(float64(used.Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(each*used.Seconds()/float64(b.N)*100, name)
}

// syn is a question of the worker's in VXLAN: its header (RFC 7348), Ethernet, IPv4 and TCP.
func syn() []byte {
	packet := []byte{0x08, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(packet[4:], 7473<<8)
	packet = append(packet, gatewayMAC[:]...)
	packet = append(packet, workerMAC[:]...)
	packet = append(packet, 0x08, 0x00)
	ip := []byte{0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0}
	ip = append(append(ip, transit.AsSlice()...), probed.Addr().AsSlice()...)
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	tcp := make([]byte, 20)
	binary.BigEndian.PutUint16(tcp[0:], 40000)
	binary.BigEndian.PutUint16(tcp[2:], probed.Port())
	tcp[12], tcp[13] = 5<<4, 0x02
	pseudo := append(append([]byte{}, ip[12:20]...), 0, 6, 0, 20)
	binary.BigEndian.PutUint16(tcp[16:], checksum(append(pseudo, tcp...)))
	return append(append(packet, ip...), tcp...)
}

// checksum is that of RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// waitFor waits for the answer.
func waitFor(q *question) error {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(q.fd), Events: unix.POLLOUT}}, 10_000)
	if err == nil && n == 0 {
		err = context.DeadlineExceeded
	}
	return err
}
