package userspace

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/tuntest"
)

// Each kind of message passes once a minute, and the next one says how many did not.
func TestGate(t *testing.T) {
	g := gate{last: map[string]time.Time{}}
	begin := time.Now()
	for _, tt := range []struct {
		kind       string
		at         time.Duration
		pass       bool
		suppressed int
	}{
		{"a", 0, true, 0}, {"b", 0, true, 0}, {"a", time.Second, false, 0}, {"a", 59 * time.Second, false, 0},
		{"a", time.Minute, true, 2}, {"b", time.Minute, true, 0}, {"a", 2 * time.Minute, true, 0},
	} {
		if suppressed, ok := g.pass(tt.kind, begin.Add(tt.at)); ok != tt.pass || suppressed != tt.suppressed {
			t.Errorf("%s at %s: passes %t with %d suppressed, want %t with %d", tt.kind, tt.at, ok, suppressed, tt.pass, tt.suppressed)
		}
	}
}

// What comes in by the control socket does not come out in the log: it may be the private key.
func TestLogWithoutKeys(t *testing.T) {
	var logged strings.Builder
	log := funcr.New(func(_, args string) { fmt.Fprintln(&logged, args) }, funcr.Options{Verbosity: 9})
	wg := newUnstarted(t, newLogger(log, "tombolo0"))
	const secret = "c0ffee"
	for _, line := range []string{"private_key " + secret, "private_key=" + secret + "zz", "listen_port=" + secret, secret} {
		if err := wg.IpcSet(line + "\n\n"); err == nil {
			t.Errorf("%q was accepted", line)
		}
	}
	if got := logged.String(); strings.Contains(got, secret) || !strings.Contains(got, "refused with error") {
		t.Errorf("log is\n%s", got)
	}
}

// Other errors are logged in full.
func TestLogErrors(t *testing.T) {
	var logged strings.Builder
	log := newLogger(funcr.New(func(_, args string) { fmt.Fprintln(&logged, args) }, funcr.Options{}), "tombolo0")
	for range 3 {
		log.Errorf("%v - Failed to send data packets: %v", "peer(abc)", errors.New("network is unreachable"))
	}
	log.Verbosef("nobody asked")
	if got := logged.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "network is unreachable") || !strings.Contains(got, "tombolo0") {
		t.Errorf("log is\n%s", got)
	}
}

// newUnstarted returns a device with a TUN that exists in memory only.
func newUnstarted(t *testing.T, log *device.Logger) *device.Device {
	t.Helper()
	wg := device.NewDevice(tuntest.NewChannelTUN().TUN(), newBind(New()), log)
	t.Cleanup(wg.Close)
	return wg
}
