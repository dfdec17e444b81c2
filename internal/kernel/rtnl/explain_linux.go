package rtnl

import (
	"errors"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ExplainErrors makes the kernel add its own words to the errors of all later requests of this
// process (extended ACK), so that "invalid argument" says what was invalid. The errors stay the
// same otherwise: errors.Is finds the number. It is for the beginning of a process, before anything
// talks to the kernel.
func ExplainErrors() { nl.EnableErrorMessageReporting = true }

// IsLinkNotFound reports whether the error says that there is no such link. The netlink library
// knows the kernel's answer only if there are no words of the kernel in it.
func IsLinkNotFound(err error) bool {
	return errors.As(err, new(netlink.LinkNotFoundError)) || errors.Is(err, unix.ENODEV)
}
