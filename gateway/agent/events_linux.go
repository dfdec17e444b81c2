package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-logr/logr"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/route"
)

// receiveTimeout bounds how long the watch takes to notice that it is to end.
var receiveTimeout = unix.Timeval{Sec: 1}

// WatchKernel calls changed whenever a link, a route or a rule that may be ours has changed in this network namespace,
// by whomever, until ctx ends. Messages that were lost count as a change.
func WatchKernel(ctx context.Context, changed func()) error {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE)
	if err != nil {
		return fmt.Errorf("subscribing to changes of the kernel: %w", err)
	}
	defer socket.Close()
	if err := socket.SetReceiveTimeout(&receiveTimeout); err != nil {
		return fmt.Errorf("setting up the watch of the kernel: %w", err)
	}
	for ctx.Err() == nil {
		messages, _, err := socket.Receive()
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOBUFS):
			logr.FromContextOrDiscard(ctx).V(1).Info("messages of the kernel were lost")
			changed()
			continue
		case err != nil:
			return fmt.Errorf("watching the kernel: %w", err)
		}
		for _, m := range messages {
			if concerns(m.Header.Type, m.Data) {
				changed()
				break
			}
		}
	}
	return nil
}

// concerns tells whether a message is about something that may be ours.
func concerns(kind uint16, data []byte) bool {
	switch kind {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return concernsLink(data)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return len(data) >= unix.SizeofRtMsg && nl.DeserializeRtMsg(data).Protocol == route.ProtocolGateway
	case unix.RTM_NEWRULE, unix.RTM_DELRULE, unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return true
	}
	return false
}

func concernsLink(data []byte) bool {
	if len(data) < unix.SizeofIfInfomsg {
		return false
	}
	attrs, err := nl.ParseRouteAttr(data[unix.SizeofIfInfomsg:])
	if err != nil {
		return true
	}
	for _, a := range attrs {
		if a.Attr.Type == unix.IFLA_IFNAME {
			return strings.HasPrefix(nl.BytesToString(a.Value), "tombolo")
		}
	}
	return true
}
