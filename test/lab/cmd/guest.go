package main

import (
	"os"

	"github.com/tombolo-net/tombolo/test/lab/kernel"
	"github.com/tombolo-net/tombolo/test/lab/kernel/guest"
	"github.com/tombolo-net/tombolo/test/lab/node"
)

// bootGuest is what lab does as PID 1 of a kernel that lab has booted. It
// returns if this is PID 1 of something else, a container for example.
func bootGuest() {
	if path := os.Getenv(kernel.CommandEnv); path != "" {
		guest.Run(path)
	}
	if path := os.Getenv(node.ConfigEnv); path != "" {
		node.Main(path)
	}
}
