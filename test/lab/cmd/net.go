package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/test/lab"
)

// netCommand returns `lab net`, which works on the network between nodes.
func netCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "net",
		Short: "Capture, cut, delay or lose what passes between nodes",
		Long: `Works on the switch that every frame between nodes passes through. A and B each name a node (east-1), a
cluster (east: all of its nodes), '*' for every node, or host for the way to the API servers.`,
		Example: `  lab net capture east west | tcpdump -n -r -
  lab net cut east-1 west-1
  lab net delay east west 50ms
  lab net loss east west 5%
  lab net heal '*' '*'`,
	}
	nameFlag(c, &name)
	c.AddCommand(captureCommand(&name), cutCommand(&name), healCommand(&name), delayCommand(&name), lossCommand(&name))
	return c
}

func cutCommand(name *string) *cobra.Command {
	return &cobra.Command{
		Use:   "cut A B",
		Short: "Drop every frame between A and B until they are healed",
		Args:  cobra.ExactArgs(2),
		RunE: withLab(name, func(cmd *cobra.Command, l *lab.Client, args []string) error {
			return l.Cut(cmd.Context(), args[0], args[1])
		}),
	}
}

func healCommand(name *string) *cobra.Command {
	return &cobra.Command{
		Use:   "heal A B",
		Short: "Undo cut, delay and loss between A and B",
		Args:  cobra.ExactArgs(2),
		RunE: withLab(name, func(cmd *cobra.Command, l *lab.Client, args []string) error {
			return l.Heal(cmd.Context(), args[0], args[1])
		}),
	}
}

func delayCommand(name *string) *cobra.Command {
	return &cobra.Command{
		Use:     "delay A B DURATION",
		Short:   "Delay every frame between A and B, each way",
		Example: "  lab net delay east west 50ms   # a round trip takes 100 ms longer",
		Args:    cobra.ExactArgs(3),
		RunE: withLab(name, func(cmd *cobra.Command, l *lab.Client, args []string) error {
			d, err := time.ParseDuration(args[2])
			if err != nil {
				return fmt.Errorf("delay %q: it looks like 50ms or 1s", args[2])
			}
			return l.Delay(cmd.Context(), args[0], args[1], d)
		}),
	}
}

func lossCommand(name *string) *cobra.Command {
	return &cobra.Command{
		Use:     "loss A B RATIO",
		Short:   "Drop frames between A and B at random, each way",
		Example: "  lab net loss east west 5%\n  lab net loss east west 0.05",
		Args:    cobra.ExactArgs(3),
		RunE: withLab(name, func(cmd *cobra.Command, l *lab.Client, args []string) error {
			ratio, err := parseRatio(args[2])
			if err != nil {
				return err
			}
			return l.Loss(cmd.Context(), args[0], args[1], ratio)
		}),
	}
}

// parseRatio returns the number that 5% or 0.05 is.
func parseRatio(text string) (float64, error) {
	number, percent := strings.CutSuffix(text, "%")
	ratio, err := strconv.ParseFloat(number, 64)
	if percent {
		ratio /= 100
	}
	if err != nil || !(ratio >= 0 && ratio <= 1) {
		return 0, fmt.Errorf("ratio %q: allowed are 0 to 1, or 0%% to 100%%", text)
	}
	return ratio, nil
}

func captureCommand(name *string) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "capture [A [B]]",
		Short: "Write the frames between A and B as a pcap file, until interrupted",
		Example: `  lab net capture east west | tcpdump -n -r -
  lab net capture -w /tmp/east-1.pcap east-1`,
		Args: cobra.MaximumNArgs(2),
		RunE: withLab(name, func(cmd *cobra.Command, l *lab.Client, args []string) error {
			return capture(cmd, l, file, append(args, "*", "*"))
		}),
	}
	c.Flags().StringVarP(&file, "write", "w", "-", "the file to write, - for the standard output")
	return c
}

func capture(cmd *cobra.Command, l *lab.Client, file string, args []string) (err error) {
	out := os.Stdout
	if file == "-" && isTerminal(out) {
		return fmt.Errorf("a capture is nothing to read on a terminal: name a file with -w, or pipe it: | tcpdump -n -r -")
	}
	if file != "-" {
		if out, err = os.Create(file); err != nil {
			return fmt.Errorf("making capture file: %w", err)
		}
		defer func() {
			if closeErr := out.Close(); err == nil {
				err = closeErr
			}
		}()
	}
	frames, err := l.Capture(cmd.Context(), args[0], args[1])
	if err != nil {
		return err
	}
	defer frames.Close() // reading has ended
	if _, err := io.Copy(out, frames); err != nil && cmd.Context().Err() == nil {
		return fmt.Errorf("writing capture: %w", err)
	}
	return nil
}

// withLab returns a command's function that works on a lab.
func withLab(name *string, run func(*cobra.Command, *lab.Client, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		l, err := connect(*name)
		if err != nil {
			return err
		}
		return run(cmd, l, args)
	}
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
