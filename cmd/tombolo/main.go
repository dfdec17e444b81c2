// Command tombolo is every process of tombolo: operator, gateway and dataplane are its subcommands.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/tombolo-net/tombolo/cmd/version"
)

func main() {
	if err := newRootCommand().ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "tombolo:", err)
		os.Exit(1)
	}
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "tombolo",
		Short: "Services that are reachable across clusters",
		Long: `tombolo makes Services reachable across clusters: create a ServiceExport in one cluster, and pods of every
other cluster reach the Service as <svc>.<ns>.svc.clusterset.local.

Each subcommand is one process; the manifests in config/ run them: the operator as a Deployment, gateway and
dataplane as DaemonSets.`,
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return limitMemory() }
	root.AddCommand(newOperatorCommand(), newGatewayCommand(), newDataplaneCommand(), newAskCommand(), newDumpCommand(), newEchoCommand())
	return root
}
