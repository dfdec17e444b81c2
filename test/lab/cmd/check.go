package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tombolo-net/tombolo/test/lab"
)

// checkCommand returns `lab check`, which says whether this machine is quick enough.
func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Say whether this machine is quick enough for a lab",
		Long: `Says nothing where a lab of several nodes works. Where its nodes would take minutes to boot and tests would exceed
their bounds, it prints why. Nothing is refused on such a machine, so the code is 0 all the same.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			slow, err := lab.CheckHost()
			if slow != "" {
				fmt.Fprintln(cmd.OutOrStdout(), slow)
			}
			return err
		},
	}
}
