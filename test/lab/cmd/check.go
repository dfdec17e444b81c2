package main

import (
	"github.com/spf13/cobra"

	"github.com/tombolo-net/tombolo/test/lab"
)

// checkCommand returns `lab check`, which says whether this machine is quick enough.
func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Say whether this machine is quick enough for a lab",
		Long: `Ends with code 0 and says nothing where a lab of several nodes works. Where its nodes would take minutes to boot
and tests would exceed their bounds, it says why and ends with code 1. Nothing is refused on such a machine.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return lab.CheckHost() },
	}
}
