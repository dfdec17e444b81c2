package agent

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/ingress"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// memoryKernel keeps a Kernel in memory. Its probes are never answered. It is safe for concurrent
// use.
type memoryKernel struct {
	mu      sync.Mutex
	tunnels wireguard.Config
	routes  route.Config
	// handover is the device for hand-over.
	handover vxlan.Config
	table    firewall.State
	// ingress is the filter on the way in, and dropped what it has dropped.
	ingress firewall.Config
	dropped ingress.Dropped
	// writes counts changes, reads how often routes were read.
	writes, reads int
	// refused is what each write of routes ends with.
	refused error
	// received is how many bytes came from each peer; twice as many were sent.
	received int64
	// noModule: this process has to serve the devices.
	noModule bool
	// takenPort is a UDP port that another program has; 0: none.
	takenPort int
	// err is what every call that needs WireGuard ends with.
	err error
}

// kernel is the Kernel that an agent uses.
func (k *memoryKernel) kernel() Kernel {
	return Kernel{Tunnels: memoryTunnels{k}, Traffic: memoryTunnels{k}, Handover: memoryHandover{k}, Routes: memoryRoutes{k}, Table: memoryTable{k}, Ingress: memoryIngress{k}, Host: k}
}

type memoryTunnels struct{ *memoryKernel }

type memoryRoutes struct{ *memoryKernel }

type memoryHandover struct{ *memoryKernel }

func (k memoryHandover) Read(context.Context) (vxlan.Config, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.handover, nil
}

// Apply knows no changes of what is there: it sets everything.
func (k memoryHandover) Apply(_ context.Context, change vxlan.Change) (vxlan.Change, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.handover = vxlan.Config{Devices: change.AddDevices, Addresses: change.AddAddresses, Neighbours: change.SetNeighbours, Forwards: change.SetForwards}
	return change, nil
}

type memoryTable struct{ *memoryKernel }

func (k *memoryKernel) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

func (k memoryTunnels) Check(mode v1alpha1.WireGuardMode) (userspace bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return mode == v1alpha1.WireGuardUserspace || k.noModule, k.err
}

func (k memoryTunnels) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (*memoryKernel) CheckForwarding(bool) error { return nil }

func (*memoryKernel) IPv6Off() string { return "" }

func (k memoryTunnels) Read(context.Context) (wireguard.State, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state(), k.err
}

// state is the kernel's that the last Config made.
func (k *memoryKernel) state() wireguard.State {
	var state wireguard.State
	for _, d := range k.tunnels.Devices {
		s := wireguard.DeviceState{
			Name: d.Name, Userspace: k.tunnels.Userspace, PrivateKey: d.PrivateKey, ListenPort: d.ListenPort, MTU: d.MTU, Up: true, RPFilter: 2, Addresses: d.Addresses,
		}
		for _, p := range d.Peers {
			s.Peers = append(s.Peers, wireguard.PeerState{Peer: p, Published: p.Endpoint, Received: k.received, Sent: 2 * k.received})
		}
		state.Devices = append(state.Devices, s)
	}
	return state
}

func (k memoryTunnels) Sync(_ context.Context, want wireguard.Config) (wireguard.Change, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change := wireguard.Diff(k.state(), want)
	if k.err != nil || change.Empty() {
		return wireguard.Change{}, k.err
	}
	for _, d := range want.Devices {
		if d.ListenPort == k.takenPort {
			return wireguard.Change{}, fmt.Errorf("changing link %s: %w", d.Name, syscall.EADDRINUSE)
		}
	}
	k.tunnels, k.writes = want, k.writes+1
	return change, nil
}

func (k memoryRoutes) Read(context.Context) (route.Config, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reads++
	return k.routes, nil
}

func (k memoryRoutes) Apply(_ context.Context, change route.Change) (route.Change, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refused != nil {
		return route.Change{}, k.refused
	}
	gone := func(r route.Route) bool {
		return slices.ContainsFunc(slices.Concat(change.SetRoutes, change.DeleteRoutes), func(c route.Route) bool { return c.Key == r.Key })
	}
	k.routes.Routes = append(slices.DeleteFunc(slices.Clone(k.routes.Routes), gone), change.SetRoutes...)
	k.routes.Rules = slices.DeleteFunc(slices.Clone(k.routes.Rules), func(r route.Rule) bool { return slices.Contains(change.DeleteRules, r) })
	k.routes.Rules = append(k.routes.Rules, change.AddRules...)
	k.writes++
	return change, nil
}

func (k memoryTable) Sync(_ context.Context, want firewall.Config) (firewall.Change, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change := firewall.Diff(firewall.GatewayTable, k.table, want)
	if !change.Empty() {
		k.table, k.writes = firewall.State{Digest: want.Digest()}, k.writes+1
	}
	return change, nil
}

type memoryIngress struct{ *memoryKernel }

func (k memoryIngress) Sync(_ context.Context, want firewall.Config) (firewall.Change, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ingress = want
	return firewall.Change{}, nil
}

func (k memoryIngress) Dropped() (ingress.Dropped, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.dropped, nil
}

func (memoryTable) Blocked(time.Time, firewall.Config) ([]error, error) { return nil, nil }

func (k *memoryKernel) CheckPort(_ context.Context, port int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.takenPort == port {
		return &wireguard.PortInUseError{Port: port, Device: "wg0"}
	}
	return nil
}

func (k *memoryKernel) UnderlayMTU(context.Context, []netip.Addr) (int, error) { return 1500, nil }

func (k *memoryKernel) Listen(context.Context, netip.Addr) (probe.Conn, error) {
	return &silentConn{closed: make(chan struct{})}, nil
}

// silentConn is a socket to which nobody ever sends.
type silentConn struct{ closed chan struct{} }

func (c *silentConn) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) {
	<-c.closed
	return 0, netip.AddrPort{}, os.ErrClosed
}

func (c *silentConn) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) { return len(b), nil }

func (c *silentConn) Refused() []netip.Addr { return nil }

func (c *silentConn) Close() error {
	close(c.closed)
	return nil
}

// eventually repeats check until it returns nil, or 20 s have passed: then it returns its error.
func eventually(ctx context.Context, check func() error) error {
	deadline := time.Now().Add(time.Minute)
	for {
		err := check()
		if err == nil || time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}
