package userspace

import "errors"

// tunPath is the file by which processes make and attach TUNs.
const tunPath = "/dev/net/tun"

// Errors that callers distinguish.
var (
	// ErrNoTUN: this process cannot use /dev/net/tun.
	ErrNoTUN = errors.New("userspace WireGuard needs " + tunPath)
	// ErrNotPermitted: this process may not change links.
	ErrNotPermitted = errors.New("userspace WireGuard may not change links")
)
