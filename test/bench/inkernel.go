package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tombolo-net/tombolo/test/bench/dataplane"
	"github.com/tombolo-net/tombolo/test/bench/figures"
)

// newInKernelCommand makes the command that measures in a kernel of its own and prints each figure
// as a line of JSON.
func newInKernelCommand() *cobra.Command {
	var in dataplane.Inside
	cmd := &cobra.Command{
		Use:       "in-kernel {" + strings.Join(dataplane.Subjects(), "|") + "} {" + strings.Join(dataplane.Parts(), "|") + "}",
		Short:     "Measure one dataplane in the kernel that this runs in; nothing else should use that kernel",
		ValidArgs: slices.Concat(dataplane.Subjects(), dataplane.Parts()),
		Args:      cobra.MatchAll(cobra.ExactArgs(2), cobra.OnlyValidArgs),
		Hidden:    true,
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Subject, in.Part = args[0], args[1]
			lines := json.NewEncoder(os.Stdout)
			in.Emit = func(f figures.Figure) error { return lines.Encode(f) }
			return dataplane.InKernel(cmd.Context(), in)
		},
	}
	cmd.Flags().BoolVar(&in.Quick, "quick", false, "a tenth of the services, and shorter looks")
	cmd.Flags().BoolVar(&in.Native, "native", false, "this kernel is the host's: only the namespaces are our own")
	cmd.Flags().StringSliceVar(&in.Steps, "steps", nil, "what is measured after the start (default all)")
	cmd.Flags().StringVar(&in.Profiles, "profiles", "", "a folder for profiles of the agent")
	cmd.Flags().StringVar(&in.Tombolo, "tombolo", "", "the binary of tombolo (default the one beside this program)")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if in.Tombolo == "" {
			self, err := os.Executable()
			in.Tombolo = filepath.Join(filepath.Dir(self), "tombolo")
			return err
		}
		return nil
	}
	return cmd
}
