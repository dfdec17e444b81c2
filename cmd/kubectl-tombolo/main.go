// Command kubectl-tombolo is the plugin behind `kubectl tombolo`.
package main

import (
	"fmt"
	"os"

	"github.com/go-logr/logr"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/tombolo-net/tombolo/cli"
	"github.com/tombolo-net/tombolo/cmd/version"
)

func main() {
	// What libraries log is not for users: errors reach them as errors.
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	if err := cli.NewCommand(version.String(), streams).ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "kubectl tombolo:", err)
		os.Exit(1)
	}
}
