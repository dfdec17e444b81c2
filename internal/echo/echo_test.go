package echo

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// freePort is a port that nobody uses at the moment.
func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(n)
}

func ownAddress(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	t.Skip("this machine has no address but loopback")
	return ""
}

func TestAsk(t *testing.T) {
	port, host := freePort(t), ownAddress(t)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, "web-0", port) }()
	for _, network := range []string{"tcp", "udp"} {
		r := Ask(t.Context(), Question{Network: network, Host: host, Port: port, Count: 3, Patience: 10 * time.Second})
		if r.Error != "" || len(r.Addresses) != 1 || len(r.Heard) != 3 {
			t.Fatalf("%s: %+v", network, r)
		}
		for _, h := range r.Heard {
			if h.Error != "" || h.Answer != (Answer{Pod: "web-0", Client: host}) {
				t.Errorf("%s: heard %+v", network, h)
			}
		}
	}
	stop()
	if err := <-served; err != nil {
		t.Errorf("the server ended with %v", err)
	}
	r := Ask(t.Context(), Question{Network: "tcp", Host: host, Port: port, Count: 3, Patience: 10 * time.Millisecond})
	if len(r.Heard) != 1 || !strings.Contains(r.Heard[0].Error, "refused") && !strings.Contains(r.Heard[0].Error, "timeout") {
		t.Errorf("nobody serves: %+v", r)
	}
}

func TestMeasure(t *testing.T) {
	port, host := freePort(t), "127.0.0.1"
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, "web-0", port) }()
	if err := first(t.Context(), "tcp", net.JoinHostPort(host, strconv.Itoa(int(port)))); err != nil {
		t.Fatal(err)
	}
	got, err := Measure(t.Context(), Task{Server: net.JoinHostPort(host, strconv.Itoa(int(port))), Duration: 20 * time.Millisecond})
	if err != nil || got.BitsPerSecond <= 0 || got.RoundTripSeconds <= 0 || got.ConnectionsPerSecond <= 0 {
		t.Errorf("measured %+v, %v", got, err)
	}
	stop()
	if err := <-served; err != nil {
		t.Errorf("the server ended with %v", err)
	}
	if _, err := Measure(t.Context(), Task{Server: net.JoinHostPort(host, strconv.Itoa(int(port))), Duration: time.Millisecond}); err == nil {
		t.Error("something was measured without a server")
	}
}
