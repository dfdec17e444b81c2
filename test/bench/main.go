// Command bench measures tombolo on a lab with tombolo installed, prints a table and writes the same as JSON. It is
// run as `bin/lab run --install -- bin/bench`, which is what `make bench` does.
//
// Absolute figures mean little in user-mode kernels with one CPU each; ratios of things measured side by side, in
// interleaved rounds of one run, do. It never fails for a figure: it measures, it does not judge.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newRootCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func newRootCommand() *cobra.Command {
	var output string
	var only []string
	root := &cobra.Command{
		Use:           "bench",
		Short:         "Measure tombolo on a lab",
		Example:       "  bin/lab run --install -- bin/bench --output dist/bench.json",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return measureAll(cmd.Context(), output, only) },
	}
	root.Flags().StringVar(&output, "output", "dist/bench.json", "the file that the figures are written to")
	root.Flags().StringSliceVar(&only, "only", nil, "measure these only: propagation, first-answer, ratios, program")
	root.AddCommand(newWatchCommand(), newLoadCommand(), newProgramCommand())
	return root
}

// measureAll runs every measurement, writes what was measured also when one fails, and says which did.
func measureAll(ctx context.Context, output string, only []string) error {
	b, err := newBench(ctx)
	if err != nil {
		return err
	}
	err = b.run(ctx, only)
	b.figures.print(os.Stdout)
	if errWrite := b.figures.write(output); errWrite != nil {
		return errWrite
	}
	return err
}
