package main

import (
	"cmp"
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tombolo-net/tombolo/test/lab"
)

// shellCommand returns `lab shell`.
func shellCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "shell [-- COMMAND [ARGS...]]",
		Short: "Start a shell, or another command, that works on a running lab",
		Long: `Starts your shell with KUBECONFIG, LAB_RUN and PATH set for a lab that lab up has started. Leaving it leaves
the lab as it is.`,
		Example: `  lab shell
  lab shell -- kubectl --context west get pods -A`,
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := connect(name)
			if err != nil {
				return err
			}
			s, err := l.Status(cmd.Context())
			if err != nil {
				return err
			}
			if len(args) == 0 {
				args = []string{cmp.Or(os.Getenv("SHELL"), "/bin/sh")}
			}
			return become(l, s, args)
		},
	}
	nameFlag(c, &name)
	return c
}

// become replaces this process by a command with the lab's environment. It returns only with an
// error.
func become(l *lab.Client, s lab.Status, args []string) error {
	env, err := labEnv(l.Dir(), l.Kubeconfig(), s.Bin)
	if err != nil {
		return err
	}
	path, err := lookPath(args[0], env)
	if err != nil {
		return err
	}
	if err := syscall.Exec(path, args, env); err != nil {
		return fmt.Errorf("running %s: %w", path, err)
	}
	return nil
}

// statusCommand returns `lab status`.
func statusCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the state of a running lab",
		Args:  cobra.NoArgs,
		RunE: withLab(&name, func(cmd *cobra.Command, l *lab.Client, _ []string) error {
			s, err := l.Status(cmd.Context())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "run folder   %s\nprocess      %d\nready        %t\n", s.Dir, s.Pid, s.Ready)
			for _, c := range s.Topology.Clusters {
				fmt.Fprintf(out, "%-12s pods %v, services %v, DNS %s, CNI %s, proxy mode %s\n", c.Name, c.PodCIDRs, c.ServiceCIDRs, c.DNS, c.CNI, c.ProxyMode)
			}
			fmt.Fprintln(out)
			return printNodes(cmd, s)
		}),
	}
	nameFlag(c, &name)
	return c
}
