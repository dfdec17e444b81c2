package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tombolo-net/tombolo/test/lab"
	"github.com/tombolo-net/tombolo/test/lab/node"
)

// nodeCommand returns `lab node`, which works on nodes.
func nodeCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "node",
		Short: "List, kill, freeze or reboot nodes, or run a command on one",
		Example: `  lab node list
  lab node exec west-2 -- ipvsadm -Ln
  lab node kill east-1 && lab node start east-1`,
	}
	nameFlag(c, &name)
	c.AddCommand(
		listCommand(&name),
		execCommand(&name),
		operationCommand(&name, "kill", "End a node as if its plug had been pulled", (*lab.Client).Kill),
		operationCommand(&name, "start", "Boot a node that was killed, afresh", (*lab.Client).Start),
		operationCommand(&name, "pause", "Freeze a node, its clock too", (*lab.Client).Pause),
		operationCommand(&name, "resume", "Let a frozen node go on", (*lab.Client).Resume),
	)
	return c
}

// operationCommand returns a command that does something to nodes.
func operationCommand(name *string, verb, short string, do func(*lab.Client, context.Context, string) error) *cobra.Command {
	return &cobra.Command{
		Use:   verb + " NODE...",
		Short: short,
		Args:  cobra.MinimumNArgs(1),
		RunE: withLab(name, func(cmd *cobra.Command, l *lab.Client, args []string) error {
			for _, n := range args {
				if err := do(l, cmd.Context(), n); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

func execCommand(name *string) *cobra.Command {
	c := &cobra.Command{
		Use:   "exec NODE -- COMMAND [ARGS...]",
		Short: "Run a command on a node, as root in its own namespaces",
		Long: `Runs COMMAND on a node with this standard input and output, and ends with its exit code. A node has the host's
own programs, and ctr for its containers.`,
		Example: `  lab node exec west-2 -- ipvsadm -Ln
  lab node exec east-1 -- ctr -n k8s.io containers list`,
		Args: cobra.MinimumNArgs(2),
		RunE: withLab(name, func(cmd *cobra.Command, l *lab.Client, args []string) error {
			if args[1] == "--" {
				args = append(args[:1:1], args[2:]...)
			}
			if len(args) < 2 {
				return errors.New("no command given")
			}
			command := node.Command{Args: args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
			code, err := l.Exec(cmd.Context(), args[0], command)
			if err == nil && code != 0 {
				return exitError(code)
			}
			return err
		}),
	}
	c.Flags().SetInterspersed(false)
	return c
}

func listCommand(name *string) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the nodes",
		Args:  cobra.NoArgs,
		RunE: withLab(name, func(cmd *cobra.Command, l *lab.Client, _ []string) error {
			s, err := l.Status(cmd.Context())
			if err != nil {
				return err
			}
			return printNodes(cmd, s)
		}),
	}
}

func joinAddresses(addresses []netip.Addr) string {
	texts := make([]string, 0, len(addresses))
	for _, a := range addresses {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ",")
}

func printNodes(cmd *cobra.Command, s lab.Status) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "NODE\tCLUSTER\tZONE\tROLE\tADDRESS\tMACHINE")
	for _, n := range s.Topology.Nodes() {
		role := "worker"
		if n.Gateway {
			role = "gateway"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", n.Name, n.Cluster, n.Zone, role, joinAddresses(n.Addresses), s.Nodes[n.Name])
	}
	return w.Flush()
}
