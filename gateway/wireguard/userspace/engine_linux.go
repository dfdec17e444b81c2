package userspace

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

// errEnded: Run has returned.
var errEnded = errors.New("userspace WireGuard has ended with the agent")

// Engine is the WireGuard devices that this process runs. It is safe for concurrent use.
type Engine struct {
	// calls are what Run is to call.
	calls chan func()
	// ended is closed when Run returns.
	ended chan struct{}

	// mu guards devices.
	mu      sync.Mutex
	devices map[string]*running
}

// running is a device that runs.
type running struct {
	wg      *device.Device
	bind    *bind
	control net.Listener
	// serving ends when the control socket has no server any more.
	serving sync.WaitGroup
}

// New returns an Engine without devices.
func New() *Engine {
	return &Engine{calls: make(chan func()), ended: make(chan struct{}), devices: map[string]*running{}}
}

// Run opens the devices' UDP sockets, in the network namespace that it is called in, until ctx ends.
// Then it ends all devices and leaves their TUNs.
func (e *Engine) Run(ctx context.Context) error {
	defer e.stopAll()
	defer close(e.ended)
	for {
		select {
		case <-ctx.Done():
			return nil
		case call := <-e.calls:
			call()
		}
	}
}

// patience is how long a device waits for Run. It runs as long as the agent does.
const patience = 5 * time.Second

// onRun has Run call f, and returns when it has.
func (e *Engine) onRun(f func()) error {
	done := make(chan struct{})
	call := func() { defer close(done); f() }
	select {
	case e.calls <- call:
		<-done
		return nil
	case <-e.ended:
		return errEnded
	case <-time.After(patience):
		return errors.New("nothing runs userspace WireGuard")
	}
}

// Start starts the device: it makes its TUN, or adopts the one that an earlier process left. A new
// TUN gets that MTU in bytes and is down. The device has no sockets before Up. A device of that name that runs already is started again.
func (e *Engine) Start(ctx context.Context, name string, mtu int) error {
	select {
	case <-e.ended:
		return errEnded
	default:
	}
	e.Stop(name)
	file, mtu, err := openTUN(ctx, name, mtu)
	if err != nil {
		return err
	}
	dev, err := tun.CreateTUNFromFile(file, mtu)
	if err != nil {
		_ = file.Close()
		return fmt.Errorf("using the TUN %s: %w", name, err)
	}
	control, err := listen(ctx, name)
	if err != nil {
		_ = dev.Close()
		return err
	}
	b := newBind(e)
	r := &running{wg: device.NewDevice(newLink(dev), b, newLogger(logr.FromContextOrDiscard(ctx), name)), bind: b, control: control}
	r.serve()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.devices[name] = r
	limitMemory(len(e.devices))
	return nil
}

// Up opens the device's UDP sockets if they are not open, and begins handshakes. The error is what the kernel says about
// them, such as that the port is taken.
func (e *Engine) Up(name string) error {
	r, ok := e.find(name)
	if !ok {
		return fmt.Errorf("userspace WireGuard does not run %s", name)
	}
	err := r.wg.Up()
	if err == nil && !r.bind.isOpen() {
		err = r.wg.BindUpdate()
	}
	if err != nil {
		return fmt.Errorf("opening the UDP port of %s: %w", name, err)
	}
	return nil
}

// SocketError is why the device's UDP sockets could not be opened last; nil if they could, or if
// the device does not run here.
func (e *Engine) SocketError(name string) error {
	if r, ok := e.find(name); ok {
		return r.bind.lastError()
	}
	return nil
}

// Runs reports whether the device runs in this process, and whether its UDP sockets are open.
func (e *Engine) Runs(name string) (runs, open bool) {
	r, ok := e.find(name)
	return ok, ok && r.bind.isOpen()
}

// find returns the device unless it has ended, by Stop or by an error of its own.
func (e *Engine) find(name string) (*running, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r, ok := e.devices[name]
	if !ok {
		return nil, false
	}
	select {
	case <-r.wg.Wait():
		return nil, false
	default:
		return r, true
	}
}

// Stop ends the device and leaves its TUN. A device that does not run here is no error.
func (e *Engine) Stop(name string) {
	e.mu.Lock()
	r := e.devices[name]
	delete(e.devices, name)
	limitMemory(len(e.devices))
	e.mu.Unlock()
	if r != nil {
		r.wg.Close()
		r.serving.Wait()
	}
}

func (e *Engine) stopAll() {
	e.mu.Lock()
	names := slices.Collect(maps.Keys(e.devices))
	e.mu.Unlock()
	for _, name := range names {
		e.Stop(name)
	}
}
