package userspace

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.zx2c4.com/wireguard/device"
)

// logInterval is how often one kind of error of a device is logged. Some come with every packet.
const logInterval = time.Minute

// newLogger returns the library's logger for the device: its errors go to log, once a minute each,
// and its chatter to the level above debug.
func newLogger(log logr.Logger, name string) *device.Logger {
	log = log.WithName("wireguard").WithValues("link", name)
	gate := &gate{last: map[string]time.Time{}}
	return &device.Logger{
		Verbosef: func(format string, args ...any) { log.V(2).Info("event of a device", "event", text(format, args)) },
		Errorf: func(format string, args ...any) {
			if suppressed, ok := gate.pass(format, time.Now()); ok {
				log.Info("a device has a problem", "problem", text(format, args), "suppressed", suppressed)
			}
		},
	}
}

// text is the message without what it says of the control socket's input: a line that cannot be
// parsed may hold the private key.
func text(format string, args []any) string {
	for i, arg := range args {
		var refused *device.IPCError
		if err, ok := arg.(error); ok && errors.As(err, &refused) {
			args[i] = fmt.Sprintf("a request on the control socket was refused with error %d", refused.ErrorCode())
		}
	}
	return fmt.Sprintf(format, args...)
}

// gate lets each kind of message pass once in logInterval. It is safe for concurrent use.
type gate struct {
	// mu guards what follows, by kind.
	mu         sync.Mutex
	last       map[string]time.Time
	suppressed map[string]int
}

// pass reports whether the message may pass now, and how many of its kind were suppressed before.
func (g *gate) pass(kind string, now time.Time) (suppressed int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if last, seen := g.last[kind]; seen && now.Sub(last) < logInterval {
		if g.suppressed == nil {
			g.suppressed = map[string]int{}
		}
		g.suppressed[kind]++
		return 0, false
	}
	g.last[kind] = now
	suppressed = g.suppressed[kind]
	delete(g.suppressed, kind)
	return suppressed, true
}
