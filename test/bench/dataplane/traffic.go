package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/test/bench/figures"
	"github.com/tombolo-net/tombolo/test/bench/guest"
)

// traffic compares a virtual IP with the pod IP of an endpoint, in interleaved rounds; the figures
// are medians of the rounds' ratios. The endpoint of the virtual IP and the one that is asked
// itself have addresses of their own, since a client that uses one source port for both, one soon
// after the other, would meet IPVS's entry of the earlier connection.
func (m *measurement) traffic(ctx context.Context) error {
	endIperf, err := startInside(away, "iperf3", "-s", "-p", strconv.Itoa(iperfPort))
	if err != nil {
		return err
	}
	defer endIperf()
	server, err := serveHTTP(away, httpPort)
	if err != nil {
		return err
	}
	defer server.Close()
	next := len(m.services)
	bulk, requests := newService(next, iperfPort, 1), newService(next+1, httpPort, 1)
	if err := m.subject.put(bulk, requests); err != nil {
		return err
	}
	m.services = append(m.services, bulk, requests)
	for _, s := range []service{bulk, requests} {
		if err := guest.Eventually(ctx, patience, readyInterval, func() error { _, err := connect(client, m.target(s), 1); return err }); err != nil {
			return fmt.Errorf("reaching %s: %w", m.subject.vip(s.index), err)
		}
	}
	return errors.Join(
		m.compare(ctx, "throughput", "Mbit/s", throughput, bulk),
		m.compare(ctx, "request", "1/s", requestRate, requests),
	)
}

// target is where clients of a service connect to.
func (m *measurement) target(s service) netip.AddrPort {
	return netip.AddrPortFrom(m.subject.vip(s.index), servicePort)
}

// compare measures the two in turn, each as often the first of its round.
func (m *measurement) compare(ctx context.Context, what, unit string, measure func(context.Context, netip.AddrPort) (float64, error), s service) error {
	rounds := 7
	if m.Quick {
		rounds = 3
	}
	pod := netip.AddrPortFrom(endpoint(s.index, 1), uint16(s.target))
	var ratios, values, pods []float64
	for i := range rounds {
		var got [2]float64
		for j := range got {
			which := (i + j) % 2
			var err error
			if got[which], err = measure(ctx, []netip.AddrPort{m.target(s), pod}[which]); err != nil {
				return err
			}
		}
		values, pods, ratios = append(values, got[0]), append(pods, got[1]), append(ratios, got[0]/got[1])
	}
	return errors.Join(
		m.add("vip_over_pod_"+what+"_ratio", figures.Quantile(ratios, 0.5), "ratio"),
		m.add("vip_"+what, figures.Quantile(values, 0.5), unit),
		m.add("vip_pod_"+what, figures.Quantile(pods, 0.5), unit),
	)
}

// throughput is in Mbit/s, of one TCP stream, as the receiver counts.
func throughput(ctx context.Context, to netip.AddrPort) (float64, error) {
	out, err := guest.RunInside(ctx, client, "iperf3", "-c", to.Addr().String(), "-p", strconv.Itoa(int(to.Port())), "-t", "1", "-J")
	if err != nil {
		return 0, err
	}
	return figures.Received(out)
}

// requestRate is in requests per second, each over a connection of its own: the command "load" of
// this program.
func requestRate(ctx context.Context, to netip.AddrPort) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	out, err := guest.RunInside(ctx, client, self, "load", "--duration", "1s", fmt.Sprintf("http://%s/", to))
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(out), 64)
}

func serveHTTP(namespace string, port int) (*http.Server, error) {
	var listener net.Listener
	err := guest.Inside(namespace, func() (err error) {
		listener, err = net.Listen("tcp4", fmt.Sprintf(":%d", port))
		return err
	})
	if err != nil {
		return nil, err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})}
	go func() { _ = server.Serve(listener) }() // until it is closed
	return server, nil
}

// firstPackets measures connections, each of which is the first packet of a flow to its virtual IP
// and the answer to it, and the same straight to an endpoint. The endpoints' kernel answers by
// itself, without a process.
func (m *measurement) firstPackets(context.Context) error {
	const connections, warm = 2000, 50
	end, err := listenOnly(away, targetPort)
	if err != nil {
		return err
	}
	defer end()
	var vips, pods []time.Duration
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for i := range connections/50 + 1 {
		for j, into := range []*[]time.Duration{&vips, &pods} {
			to := make([]netip.AddrPort, 0, 50)
			for k := range 50 {
				s := m.services[(i*50+k)*7919%len(m.services)]
				if s.target != targetPort {
					s = m.services[0]
				}
				address := m.target(s)
				if j == 1 {
					address = netip.AddrPortFrom(endpoint(s.index, room-2), targetPort) // which no service has: see traffic
				}
				to = append(to, address)
			}
			took, err := connectAll(client, to)
			if err != nil {
				return err
			}
			if i*50 >= warm {
				*into = append(*into, took...)
			}
		}
	}
	count := len(m.services) / 10 * 10 // without those that traffic added
	micro := func(d []time.Duration, q float64) float64 {
		return float64(figures.Quantile(d, q)) / float64(time.Microsecond)
	}
	return errors.Join(
		m.add(fmt.Sprintf("first_packet_p99_us_%d_vips", count), micro(vips, 0.99), "µs"),
		m.add(fmt.Sprintf("first_packet_p50_us_%d_vips", count), micro(vips, 0.5), "µs"),
		m.add(fmt.Sprintf("first_packet_pod_p99_us_%d_vips", count), micro(pods, 0.99), "µs"),
		m.add(fmt.Sprintf("first_packet_pod_p50_us_%d_vips", count), micro(pods, 0.5), "µs"),
	)
}

// listenOnly listens without ever accepting: the kernel takes as many connections as the backlog
// holds.
func listenOnly(namespace string, port int) (end func(), err error) {
	var fd int
	err = guest.Inside(namespace, func() error {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return os.NewSyscallError("socket", err)
		}
		return errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrInet4{Port: port})), os.NewSyscallError("listen", unix.Listen(fd, 8192)))
	})
	return func() { unix.Close(fd) }, err
}

// connect is how long it takes to connect n times, in the middle.
func connect(namespace string, to netip.AddrPort, n int) (time.Duration, error) {
	all := make([]netip.AddrPort, n)
	for i := range all {
		all[i] = to
	}
	took, err := connectAll(namespace, all)
	return figures.Quantile(took, 0.5), err
}

// connectAll connects to each in turn and returns how long each took.
func connectAll(namespace string, to []netip.AddrPort) ([]time.Duration, error) {
	took := make([]time.Duration, 0, len(to))
	err := guest.Inside(namespace, func() error {
		for _, address := range to {
			elapsed, err := connectOnce(address)
			if err != nil {
				return fmt.Errorf("connecting to %s: %w", address, err)
			}
			took = append(took, elapsed)
		}
		return nil
	})
	return took, err
}

// connectOnce ends the connection with a reset, which leaves nothing behind.
func connectOnce(to netip.AddrPort) (time.Duration, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	err = errors.Join(unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 5}))
	if err != nil {
		return 0, err
	}
	began := time.Now()
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	return time.Since(began), os.NewSyscallError("connect", err)
}
