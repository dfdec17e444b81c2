// Command lab runs whole Kubernetes clusters, or a command in a kernel of its
// own, on one Linux machine, without Docker and without root. This package
// holds the command line and nothing else.
//
// The same binary is PID 1 of the user-mode kernels that it boots, and a CNI plugin in them.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/tombolo-net/tombolo/test/lab/cni"
)

func main() {
	if os.Getpid() == 1 {
		bootGuest()
	}
	if cni.Called() {
		os.Exit(cni.Main())
	}
	log.SetLogger(logr.Discard()) // what has no logger of its own is nothing to the user
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := newRootCommand().ExecuteContext(ctx)
	stop()
	os.Exit(exitCode(err))
}

// newRootCommand returns lab with all of its subcommands.
func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "lab",
		Short: "Kubernetes clusters on one machine, made of user-mode kernels",
		Long: `Whole Kubernetes clusters on one Linux machine, without Docker and without root. Every part of them is real:
a node is a user-mode Linux kernel that runs containerd, kubelet and kube-proxy; control planes run beside it.

The clusters are east, west, north, ..., each with a gateway node and workers (east-1, east-2, ...). A further API
server, hub, has no nodes. kubectl's contexts have the clusters' names.`,
		Example: `  lab run -- kubectl --context east get nodes     # a lab for one command

  lab up --install                                # a lab that stays, with tombolo in it
  lab shell                                       # kubectl --context west ...
  lab node exec west-2 -- ipvsadm -Ln
  lab net capture east west | tcpdump -n -r -
  lab net cut east-1 west-1
  lab down`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		runCommand(), upCommand(), downCommand(), serveCommand(), shellCommand(), statusCommand(),
		netCommand(), nodeCommand(), apiCommand(), kernelCommand(), checkCommand(),
	)
	return root
}

// exitError is the exit code of a command that lab ran for the user.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// exitCode prints what the user has not seen yet and returns lab's exit code.
func exitCode(err error) int {
	var code exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(os.Stderr, "lab:", err)
	return 1
}
