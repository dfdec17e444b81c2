package userspace

import "golang.zx2c4.com/wireguard/tun"

// link is a TUN that says nothing of going up or down. By such events the library would open and
// close the sockets, at a time of its own: opening them again just after the first handshake was
// sent loses the answer, and the next one is sent 5 s later.
type link struct {
	tun.Device
	events chan tun.Event
}

// newLink returns a link that passes other events on until the device is closed.
func newLink(dev tun.Device) *link {
	l := &link{Device: dev, events: make(chan tun.Event)}
	go func() {
		defer close(l.events)
		for e := range dev.Events() {
			if e &= tun.EventMTUUpdate; e != 0 {
				l.events <- e
			}
		}
	}()
	return l
}

// Events implements tun.Device.
func (l *link) Events() <-chan tun.Event { return l.events }
