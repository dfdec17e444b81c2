package userspace

import (
	"math"
	"os"
	"runtime/debug"
)

// The library's buffers of 64 KiB have no bound: up to a thousand batches of 128 wait for each peer.
// Most are garbage at any time. The limit makes Go collect them before the process grows; it stops
// no traffic. A device holds 24 MiB when idle: 128 buffers for each of its two sockets and for its
// TUN.
const (
	baseMemory   = 128 << 20
	deviceMemory = 64 << 20
)

// limitMemory sets Go's soft memory limit for that many devices. GOMEMLIMIT in the environment
// overrides it.
func limitMemory(devices int) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit := int64(math.MaxInt64)
	if devices > 0 {
		limit = baseMemory + int64(devices)*deviceMemory
	}
	debug.SetMemoryLimit(limit)
}
