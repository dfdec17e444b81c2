package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
)

// memoryLimit names the environment variable with the container's memory limit, in bytes. The manifests
// set it by the downward API, so that it follows the limit that an admin sets.
const memoryLimit = "MEMORY_LIMIT"

// limitMemory makes Go collect garbage before the process reaches 90 % of its container's limit. Left
// alone, Go lets the heap grow to twice what is in use, and the kernel would kill a process that has
// room to spare. The rest is for what Go does not count, and for what comes faster than it is
// collected. GOMEMLIMIT in the environment overrides it.
func limitMemory() error {
	text := os.Getenv(memoryLimit)
	if text == "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	limit, err := strconv.ParseInt(text, 10, 64)
	if err != nil || limit <= 0 {
		return fmt.Errorf("%s %q: want the container's memory limit in bytes", memoryLimit, text)
	}
	debug.SetMemoryLimit(limit / 10 * 9)
	return nil
}
