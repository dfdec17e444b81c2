package pages

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

func TestPages(t *testing.T) {
	fails := func(text string) func() error { return func() error { return errors.New(text) } }
	well := func() error { return nil }
	for _, tt := range []struct {
		name, path     string
		healthy, ready func() error
		want           int
		text           string
	}{
		{"stuck", "/healthz", fails("in one pass for 1m"), well, http.StatusServiceUnavailable, "in one pass for 1m"},
		{"healthy", "/healthz", well, fails("no pass yet"), http.StatusOK, "ok"},
		{"healthy while it answers", "/healthz", nil, fails("no pass yet"), http.StatusOK, "ok"},
		{"not ready", "/readyz", well, fails("modprobe wireguard"), http.StatusServiceUnavailable, "modprobe wireguard"},
		{"ready", "/readyz", nil, well, http.StatusOK, "ok"},
		{"metrics", "/metrics", nil, well, http.StatusOK, "go_goroutines"},
		{"nothing else", "/debug", nil, well, http.StatusNotFound, "not found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			registry.MustRegister(collectors.NewGoCollector())
			w := httptest.NewRecorder()
			Pages{Metrics: registry, Healthy: tt.healthy, Ready: tt.ready}.Handler().
				ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, tt.path, http.NoBody))
			if w.Code != tt.want || !strings.Contains(w.Body.String(), tt.text) {
				t.Errorf("%s answers %d %q, want %d with %q", tt.path, w.Code, w.Body, tt.want, tt.text)
			}
		})
	}
}

// TestServe: what is served ends with ctx; an address that is taken is an error that names it.
func TestServe(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := Serve(t.Context(), Profiles(), nil, "127.0.0.1:0", address); err == nil || !strings.Contains(err.Error(), address) {
		t.Errorf("a taken address: %v", err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := Serve(ctx, Profiles(), nil, address, "127.0.0.1:0"); err != nil {
		t.Error(err)
	}
}

// TestLimits: slow clients lose their connection, requests with large headers are refused, and clients
// that hold all connections of one address do not keep others from the other address.
func TestLimits(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	listeners := make([]net.Listener, 2)
	for i := range listeners {
		var err error
		if listeners[i], err = Listen(ctx, "127.0.0.1:0", nil); err != nil {
			t.Fatal(err)
		}
	}
	server := NewServer(Pages{Metrics: prometheus.NewRegistry()}.Handler())
	server.ReadHeaderTimeout = time.Second
	for _, listener := range listeners {
		go func() { _ = server.Serve(listener) }()
	}
	t.Cleanup(func() { cancel(); _ = server.Close() })
	crowded, free := listeners[0].Addr().String(), listeners[1].Addr().String()
	dial := func(address string) net.Conn {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	for range connections {
		dial(crowded)
	}
	get := func(address string, header http.Header, limit time.Duration) (int, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header = header
		client := http.Client{Timeout: limit, Transport: &http.Transport{DisableKeepAlives: true}}
		answer, err := client.Do(request)
		if err != nil {
			return 0, err
		}
		return answer.StatusCode, answer.Body.Close()
	}
	if code, err := get(crowded, nil, 300*time.Millisecond); err == nil {
		t.Errorf("one connection more than %d is answered: %d", connections, code)
	}
	if code, err := get(free, nil, 5*time.Second); code != http.StatusOK {
		t.Errorf("at the other address: %d, %v", code, err)
	}
	if code, err := get(crowded, nil, 10*time.Second); code != http.StatusOK {
		t.Errorf("when slow clients have lost their connections: %d, %v", code, err)
	}
	if code, err := get(free, http.Header{"X": {strings.Repeat("x", 2*headerBytes)}}, 5*time.Second); code != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a large header: %d, %v", code, err)
	}
}

// TestForeignAddress: an address that the host does not have does not keep the process from starting.
func TestForeignAddress(t *testing.T) {
	listener, err := Listen(t.Context(), "192.0.2.77:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
}

func TestAddresses(t *testing.T) {
	for _, tt := range []struct{ address, pod, want string }{
		{":7475", "192.0.2.1", "192.0.2.1:7475 127.0.0.1:7475"},
		{":7475", "fd99::1", "[fd99::1]:7475 127.0.0.1:7475"},
		{":7475", "", ":7475"},
		{"0.0.0.0:7475", "192.0.2.1", "0.0.0.0:7475"},
		{"127.0.0.1:7475", "192.0.2.1", "127.0.0.1:7475"},
	} {
		if got := strings.Join(Addresses(tt.address, tt.pod), " "); got != tt.want {
			t.Errorf("Addresses(%q, %q) is %q, want %q", tt.address, tt.pod, got, tt.want)
		}
	}
}

func TestProfiles(t *testing.T) {
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/pprof/symbol"} {
		w := httptest.NewRecorder()
		Profiles().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		if w.Code != http.StatusOK {
			t.Errorf("%s answers %d", path, w.Code)
		}
	}
}

func TestValidateAddress(t *testing.T) {
	for _, tt := range []struct {
		address         string
		valid, loopback bool
	}{
		{"127.0.0.1:6060", true, true}, {"[::1]:6060", true, true},
		{":6060", true, false}, {"0.0.0.0:6060", true, false}, {"10.0.0.1:6060", true, false}, {"localhost:6060", true, false},
		{"", false, false}, {"127.0.0.1", false, false}, {"::1:6060", false, false},
	} {
		if err := ValidateAddress(tt.address); (err == nil) != tt.valid {
			t.Errorf("%q: got error %v, want valid %v", tt.address, err, tt.valid)
		}
		if err := ValidateLoopback(tt.address); (err == nil) != tt.loopback {
			t.Errorf("%q: got error %v, want a loopback address %v", tt.address, err, tt.loopback)
		}
	}
}
