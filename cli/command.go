// Package cli is the command line `kubectl tombolo`. It works by the user's own rights, on the
// clusters of a kubeconfig.
package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/mod/semver"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/bench"
	"github.com/tombolo-net/tombolo/cli/check"
	"github.com/tombolo-net/tombolo/cli/explain"
	"github.com/tombolo-net/tombolo/cli/export"
	"github.com/tombolo-net/tombolo/cli/gather"
	"github.com/tombolo-net/tombolo/cli/hub"
	"github.com/tombolo-net/tombolo/cli/join"
	"github.com/tombolo-net/tombolo/cli/member"
	"github.com/tombolo-net/tombolo/cli/status"
	"github.com/tombolo-net/tombolo/cli/verify"
	"github.com/tombolo-net/tombolo/cli/web"
)

// NewCommand returns the whole command line. version is what `kubectl tombolo version` says.
func NewCommand(version string, streams genericiooptions.IOStreams) *cobra.Command {
	root := &cobra.Command{
		Use:           "kubectl-tombolo",
		Short:         "Join clusters to a clusterset, and look into it",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl tombolo"},
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	flags := access.NewFlags()
	flags.Bind(root.PersistentFlags())
	root.AddGroup(&cobra.Group{ID: "set up", Title: "Set up a clusterset:"}, &cobra.Group{ID: "look", Title: "Look into it:"}, &cobra.Group{ID: "use", Title: "Use it:"})
	for group, commands := range map[string][]*cobra.Command{
		"set up": {hub.NewCommand(flags, streams), member.NewCommand(flags, streams), join.NewCommand(flags, streams, image(version)), join.NewLeaveCommand(flags, streams)},
		"look": {status.NewCommand(flags, streams), web.NewCommand(flags, streams), check.NewCommand(flags, streams, image(version)), explain.NewCommand(flags, streams),
			verify.NewCommand(flags, streams), bench.NewCommand(flags, streams), gather.NewCommand(flags, streams, version)},
		"use": {export.NewCommand(flags, streams), export.NewUnexportCommand(flags, streams)},
		"":    {newVersionCommand(version)},
	} {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	complete(root, flags)
	return root
}

// image is tombolo's image of that version; of a build that is no release it is empty, and what the
// manifests name is installed.
func image(version string) string {
	if semver.IsValid(version) && semver.Prerelease(version) == "" {
		return "ghcr.io/tombolo-net/tombolo:" + version
	}
	return ""
}

func newVersionCommand(version string) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this plugin",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version)
			return err
		},
	}
}
