// Package member is `kubectl tombolo member`: what the hub's admin approves.
package member

import (
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/tombolo-net/tombolo/cli/access"
)

// NewCommand returns the command.
func NewCommand(flags *access.Flags, streams genericiooptions.IOStreams) *cobra.Command {
	c := &cobra.Command{
		Use:   "member",
		Short: "Approve the members of a clusterset, or take one out (with the hub's context)",
	}
	c.AddCommand(newAddCommand(flags, streams), newRemoveCommand(flags, streams))
	return c
}
