// Command kubectl-tombolo is the plugin behind `kubectl tombolo`.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/tombolo-net/tombolo/cli"
	"github.com/tombolo-net/tombolo/cmd/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// What libraries log is not for users: errors reach them as errors.
	ctrllog.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	if err := cli.NewCommand(version.String(), streams).ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "kubectl tombolo:", err)
		stop()
		os.Exit(1)
	}
}
