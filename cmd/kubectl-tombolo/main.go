// Command kubectl-tombolo is the plugin behind `kubectl tombolo`.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/tombolo-net/tombolo/cmd/version"
)

func main() {
	if err := newRootCommand().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "kubectl tombolo:", err)
		os.Exit(1)
	}
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "kubectl-tombolo",
		Short:         "Look into a clusterset",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl tombolo"},
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(&cobra.Command{
		Use:   "version",
		Short: "Print the version of this plugin",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version.String())
			return err
		},
	})
	return root
}
