package agent

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// routeGroups are the kernel's announcements that may be about what internal/kernel/route keeps. Neighbours are not among them:
// they come and go all the time, and an audit finds out about ours.
var routeGroups = []uint{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
}

// watchRoutes calls touched, from a goroutine of its own, when somebody changes links, addresses, routes or rules of the
// caller's network namespace, or the kernel has lost an announcement. stop ends it and waits.
func watchRoutes(touched func()) (stop func(), err error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, routeGroups...)
	if err != nil {
		return nil, fmt.Errorf("watching routes: %w", err)
	}
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			_, _, err := socket.Receive()
			select {
			case <-ended:
				return
			default:
			}
			touched()
			if err != nil && !errors.Is(err, unix.ENOBUFS) { // that one says that something was lost
				return // from now on the audits find out
			}
		}
	}()
	return func() { close(ended); socket.Close(); <-done }, nil
}
