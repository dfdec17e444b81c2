package rtnl

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Watch receives the kernel's announcements of changes to links, addresses, routes and rules, from
// the network namespace of the thread that called Subscribe. Neighbours are not among them: they
// come and go all the time.
type Watch struct{ socket *nl.NetlinkSocket }

// Subscribe begins a Watch. What changes from now on is kept until Run.
func Subscribe() (*Watch, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE)
	if err != nil {
		return nil, fmt.Errorf("subscribing to changes of links, routes and rules: %w", err)
	}
	return &Watch{socket: socket}, nil
}

// Interest selects announcements. The zero Interest selects all. Those about addresses and rules
// are always selected.
type Interest struct {
	// Links is what the names of the links begin with.
	Links string // optional, default all
	// Protocol is the number that the routes carry.
	Protocol int // optional, default any
}

// Run calls changed when there is an announcement of interest, or the kernel has lost one, until
// ctx ends. Then it returns nil. After an error, which it returns, nothing is announced any more:
// it has called changed once again by then. It closes the Watch.
func (w *Watch) Run(ctx context.Context, in Interest, changed func()) error {
	stop := context.AfterFunc(ctx, w.socket.Close)
	defer func() {
		if stop() {
			w.socket.Close()
		}
	}()
	for {
		messages, _, err := w.socket.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
		case errors.Is(err, unix.ENOBUFS): // announcements were lost
			changed()
		case err != nil:
			changed()
			return fmt.Errorf("watching links, routes and rules: %w", err)
		}
		for _, m := range messages {
			if in.selects(m.Header.Type, m.Data) {
				changed()
				break
			}
		}
	}
}

// selects reports whether an announcement may be about what is of interest.
func (in Interest) selects(kind uint16, data []byte) bool {
	switch kind {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return in.Links == "" || in.selectsLink(data)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return in.Protocol == 0 ||
			len(data) >= unix.SizeofRtMsg && int(nl.DeserializeRtMsg(data).Protocol) == in.Protocol
	case unix.RTM_NEWRULE, unix.RTM_DELRULE, unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return true
	}
	return false
}

func (in Interest) selectsLink(data []byte) bool {
	if len(data) < unix.SizeofIfInfomsg {
		return false
	}
	attrs, err := nl.ParseRouteAttr(data[unix.SizeofIfInfomsg:])
	if err != nil {
		return true
	}
	for _, a := range attrs {
		if a.Attr.Type == unix.IFLA_IFNAME {
			return strings.HasPrefix(nl.BytesToString(a.Value), in.Links)
		}
	}
	return true
}
