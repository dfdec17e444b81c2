package rtnl

// RPFilter says how the kernel checks by which device packets of a source come in (rp_filter). What
// counts is the higher one of the device's own value and that of `all`.
type RPFilter uint8

// The values.
const (
	// RPFilterOff checks nothing.
	RPFilterOff RPFilter = 0
	// RPFilterStrict accepts a packet by the device only by which an answer would leave.
	RPFilterStrict RPFilter = 1
	// RPFilterLoose accepts a packet if any device leads back to its source. If the device has no IPv4
	// address, it is as strict as RPFilterStrict (no_addr in __fib_validate_source, in
	// net/ipv4/fib_frontend.c).
	RPFilterLoose RPFilter = 2
)
