package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/test/lab"
)

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

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
