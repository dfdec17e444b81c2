package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tombolo-net/tombolo/test/bench/figures"
	"github.com/tombolo-net/tombolo/test/bench/wireguard"
)

// measureWireGuard takes the lab's command and this program itself from where this program is.
func (o options) measureWireGuard(ctx context.Context, all *figures.List) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := wireguard.Config{Lab: filepath.Join(filepath.Dir(self), "lab"), Self: self, Quick: o.exchange.Quick}
	return wireguard.Measure(ctx, c, all)
}

// newWireGuardCommands makes the command that measures in a kernel of its own and prints each figure
// as a line of JSON, and the one that it starts for each end of a tunnel.
func newWireGuardCommands() []*cobra.Command {
	var in wireguard.Inside
	inKernel := &cobra.Command{
		Use:    wireguard.InKernelCommand,
		Short:  "Measure userspace WireGuard beside the kernel's in the kernel that this runs in; nothing else should use that kernel",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if in.Self, err = os.Executable(); err != nil {
				return err
			}
			lines := json.NewEncoder(os.Stdout)
			in.Emit = func(f figures.Figure) error { return lines.Encode(f) }
			return wireguard.InKernel(cmd.Context(), in)
		},
	}
	inKernel.Flags().StringSliceVar(&in.Kinds, "kinds", wireguard.Kinds(), "who serves the devices")
	inKernel.Flags().BoolVar(&in.Quick, "quick", false, "fewer and shorter rounds")
	var userspace bool
	serve := &cobra.Command{
		Use:    wireguard.ServeCommand + " {a|b}",
		Short:  "Make the WireGuard device of one end, and serve it",
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return wireguard.Serve(cmd.Context(), args[0], userspace)
		},
	}
	serve.Flags().BoolVar(&userspace, "userspace", false, "in this process")
	return []*cobra.Command{inKernel, serve}
}
