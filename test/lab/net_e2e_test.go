//go:build e2e

package lab_test

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/test/lab/node"
	"github.com/tombolo-net/tombolo/test/lab/underlay"
)

// Nodes' addresses in the lab.
const (
	eastOne, westOne   = "192.168.127.11", "192.168.127.21"
	eastOneFromOutside = "192.168.127.111"
)

// cutOneWay: what east-1 sends is lost, and what it is sent is not, as tcpdump sees it.
func (b bench) cutOneWay(t *testing.T) {
	b.reaches(t, "west-1", eastOne, "which is not cut")
	if err := b.lab.Cut(t.Context(), "east-1", "west-1", underlay.Selection{OneWay: true}); err != nil {
		t.Fatal(err)
	}
	defer b.heal(t)
	seen := b.dump(t, "east-1", "icmp and src "+westOne)
	if b.pings(t, "west-1", eastOne) {
		t.Error("west-1 has an answer of east-1 though that is cut off")
	}
	if got := seen(); !strings.Contains(got, "echo request") {
		t.Errorf("east-1 sees no question of west-1: %s", got)
	}
}

// cutPort: a datagram to one port is lost, and one to another is not.
func (b bench) cutPort(t *testing.T) {
	which := underlay.Selection{Ports: underlay.PortRange{First: 51820, Last: 51883}}
	if err := b.lab.Cut(t.Context(), "east-1", "west", which); err != nil {
		t.Fatal(err)
	}
	defer b.heal(t)
	seen := b.dump(t, "west-1", "udp and src "+eastOne)
	for _, port := range []string{"51821", "51884"} {
		b.on(t, "east-1", "bash", "-c", "echo -n x >/dev/udp/"+westOne+"/"+port)
	}
	got := seen()
	if strings.Contains(got, ".51821:") || !strings.Contains(got, ".51884:") {
		t.Errorf("west-1 sees %s, want port 51884 alone", got)
	}
}

// mtu: the sender of what is too large learns the MTU, and then what it sends arrives in fragments.
func (b bench) mtu(t *testing.T) {
	if err := b.lab.MTU(t.Context(), "east-1", "west-1", 1000, false); err != nil {
		t.Fatal(err)
	}
	defer b.heal(t)
	seen := b.dump(t, "west-1", "icmp and src "+eastOne)
	b.on(t, "east-1", "busybox", "ping", "-c", "3", "-W", "2", "-s", "1200", westOne)
	if got := b.on(t, "east-1", "ip", "route", "get", westOne); !strings.Contains(got, "mtu 1000") {
		t.Errorf("east-1 has not learned the MTU: %s", got)
	}
	if got := seen(); strings.Count(got, "\n") != 4 || strings.Count(got, "length 976") != 2 {
		t.Errorf("west-1 sees %s, want the second and the third ping in two packets each", got)
	}
	b.on(t, "east-1", "ip", "route", "flush", "cache")
}

// nat: west sees east-1 under another address, and reaches neither that nor the true one by itself.
func (b bench) nat(t *testing.T) {
	if err := b.lab.Translate(t.Context(), "east-1", "west", netip.MustParseAddr(eastOneFromOutside)); err != nil {
		t.Fatal(err)
	}
	defer b.heal(t)
	seen := b.dump(t, "west-1", "icmp[icmptype] == icmp-echo")
	b.reaches(t, "east-1", westOne, "from behind a NAT")
	if got := seen(); !strings.Contains(got, eastOneFromOutside+" >") || strings.Contains(got, eastOne+" >") {
		t.Errorf("west-1 sees %s, want %s", got, eastOneFromOutside)
	}
	b.reaches(t, "east-2", eastOne, "in front of which is no NAT for east-2")
	b.on(t, "west-2", "ip", "neigh", "flush", "all")
	for _, address := range []string{eastOne, eastOneFromOutside} {
		if b.pings(t, "west-2", address) {
			t.Errorf("west-2 reaches %s, which has not sent to it", address)
		}
	}
}

// stopAPI: east's API server refuses, west's does not, and what it knew is there afterwards.
func (b bench) stopAPI(t *testing.T) {
	ctx := t.Context()
	nodes := b.kubectl(t, "--context", "east", "get", "nodes", "-o", "name")
	url := b.kubectl(t, "config", "view", "-o", `jsonpath={.clusters[?(@.name=="east")].cluster.server}`)
	url = strings.Replace(url, "127.0.0.1", "192.168.127.254", 1)
	if err := b.lab.StopAPIServer(ctx, "east"); err != nil {
		t.Fatal(err)
	}
	if code, err := b.lab.Exec(ctx, "east-2", node.Command{Args: []string{"curl", "-sk", url}}); code == 0 || err != nil {
		t.Errorf("a node asks the API server that was stopped: exit code %d, %v", code, err)
	}
	b.kubectl(t, "--context", "west", "get", "nodes")
	if err := b.lab.StartAPIServer(ctx, "east"); err != nil {
		t.Fatal(err)
	}
	if got := b.kubectl(t, "--context", "east", "get", "nodes", "-o", "name"); got != nodes {
		t.Errorf("nodes after the API server was started again: %s, want %s", got, nodes)
	}
	b.on(t, "east-2", "curl", "-sk", url)
}

func (b bench) heal(t *testing.T) {
	t.Helper()
	if err := b.lab.Heal(context.WithoutCancel(t.Context()), "*", "*"); err != nil {
		t.Error(err)
	}
}

// dump begins to capture on a node. The returned function returns what tcpdump has printed, a second
// later.
func (b bench) dump(t *testing.T, name, filter string) func() string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	var out, errs bytes.Buffer
	listening := &notice{word: "listening on", seen: make(chan struct{}), out: &errs}
	ended := make(chan error, 1)
	go func() {
		_, err := b.lab.Exec(ctx, name, node.Command{Args: []string{"tcpdump", "-lnni", "eth0", filter}, Stdout: &out, Stderr: listening})
		ended <- err
	}()
	select {
	case <-listening.seen:
	case err := <-ended:
		cancel()
		t.Fatalf("tcpdump on %s: %v: %s", name, err, &errs)
	}
	return func() string {
		time.Sleep(time.Second)
		cancel()
		<-ended // it says that it was ended
		return out.String()
	}
}

// notice says when a word was written.
type notice struct {
	word string
	seen chan struct{}
	out  *bytes.Buffer
}

func (n *notice) Write(p []byte) (int, error) {
	had := strings.Contains(n.out.String(), n.word)
	n.out.Write(p)
	if !had && strings.Contains(n.out.String(), n.word) {
		close(n.seen)
	}
	return len(p), nil
}
