package rtnl

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// dumpAttempts is how often Dump starts a listing before it gives up.
const dumpAttempts = 5

// Dump calls list until the kernel did not interrupt it. A listing that another program's change interrupts may lack
// entries, so nothing may be concluded from it. The error names what was listed.
func Dump[T any](ctx context.Context, what string, list func() ([]T, error)) ([]T, error) {
	var err error
	for range dumpAttempts {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("listing %s: %w", what, err)
		}
		var items []T
		if items, err = list(); err == nil {
			return items, nil
		}
		if !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return nil, fmt.Errorf("listing %s: %w", what, err)
}

// Family is the address family of the address, AF_INET or AF_INET6.
func Family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
