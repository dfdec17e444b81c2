// Package wireguard measures userspace WireGuard beside the kernel's: throughput of one stream, the
// memory of the process, and the gap when that process is killed and started again. Both run in one
// kernel of the lab, in rounds that take turns, between two network namespaces. The package judges
// nothing.
package wireguard

import (
	"context"

	"github.com/tombolo-net/tombolo/test/bench/figures"
	"github.com/tombolo-net/tombolo/test/bench/guest"
)

// The commands of this program that Measure and InKernel run.
const (
	InKernelCommand = "wireguard-in-kernel"
	ServeCommand    = "wireguard-serve"
)

// Config is what is measured, and with what.
type Config struct {
	// Lab is the path of the lab's command.
	Lab string // required
	// Self is the path of the program that has the commands.
	Self string // required
	// Quick is for trying it out: fewer and shorter rounds.
	Quick bool
}

// memory of the kernel, with room for both ends in userspace.
const memory = "2G"

// Measure adds its figures, also those that were measured before an error.
func Measure(ctx context.Context, c Config, all *figures.List) error {
	args := []string{"kernel", "--memory", memory, "--", c.Self, InKernelCommand}
	if c.Quick {
		args = append(args, "--quick")
	}
	return guest.Measure(ctx, c.Lab, args, all)
}
