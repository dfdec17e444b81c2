package rtnl

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// dumpAttempts is how often a listing begins before it counts as failed.
const dumpAttempts = 5

// Dump calls list until the kernel did not interrupt it. A listing that another program's change
// interrupts may lack entries, so nothing may be concluded from it. The error names what was
// listed.
func Dump[T any](ctx context.Context, what string, list func() ([]T, error)) (items []T, err error) {
	err = Repeat(ctx, func() (err error) {
		items, err = list()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", what, err)
	}
	return items, nil
}

// Repeat calls do until the kernel did not interrupt a listing in it, five times at most, and
// returns its last error.
func Repeat(ctx context.Context, do func() error) error {
	var err error
	for range dumpAttempts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err = do(); !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return err
}

// Family is the address family of the address, AF_INET or AF_INET6.
func Family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
