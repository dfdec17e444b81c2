package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/tombolo-net/tombolo/hack/testbin"
	"github.com/tombolo-net/tombolo/test/lab/kernel"
)

// binEnv names the folder of the test binaries, when it is not the cache's.
const binEnv = "TOMBOLO_TESTBIN"

// kernelCommand returns `lab kernel`, which runs one command in a fresh kernel.
func kernelCommand() *cobra.Command {
	var (
		memory   string
		timeout  time.Duration
		writable []string
		appended []string
	)
	c := &cobra.Command{
		Use:   "kernel [flags] -- COMMAND [ARGS...]",
		Short: "Run a command as root in a kernel of its own",
		Long: `Boots a user-mode kernel on the host's own files and runs COMMAND in it as root,
in the current directory, with this environment, input and output. Ends with
COMMAND's exit code. What COMMAND writes is lost with the kernel, except in the
folders named by --writable.`,
		Example: `  lab kernel -- sh -c 'ip link add wg0 type wireguard && wg show'
  go test -tags kernel -exec "$PWD/bin/lab kernel --" ./dataplane/ipvs/`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not done after %s", timeout))
				defer cancel()
			}
			return runInKernel(ctx, kernel.Config{Memory: memory, Args: appended}, writable, args)
		},
	}
	c.Flags().SetInterspersed(false)
	c.Flags().StringVar(&memory, "memory", kernel.DefaultMemory, "the kernel's memory")
	c.Flags().DurationVar(&timeout, "timeout", 0, "kill the kernel after this long; 0 is never")
	c.Flags().StringArrayVar(&appended, "append", nil, "an argument of the kernel, such as ipv6.disable=1; may be repeated")
	c.Flags().StringArrayVar(&writable, "writable", nil, "a folder of the host that COMMAND may write; may be repeated")
	return c
}

func runInKernel(ctx context.Context, more kernel.Config, writable, args []string) error {
	cfg, err := kernelConfig()
	if err != nil {
		return err
	}
	cfg.Memory, cfg.Args = more.Memory, more.Args
	dir, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("finding the working directory: %w", err)
	}
	for i := range writable {
		if writable[i], err = filepath.Abs(writable[i]); err != nil {
			return fmt.Errorf("finding the folder %s: %w", writable[i], err)
		}
	}
	code, err := kernel.Run(ctx, cfg, kernel.Command{
		Args: args, Env: os.Environ(), Dir: dir, Writable: writable,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	if err == nil && code != 0 {
		return exitError(code)
	}
	return err
}

// kernelConfig returns how every kernel boots: our own binary is its PID 1.
func kernelConfig() (kernel.Config, error) {
	self, err := os.Executable()
	if err != nil {
		return kernel.Config{}, fmt.Errorf("finding lab's own binary: %w", err)
	}
	bin := os.Getenv(binEnv)
	if bin == "" {
		if bin, err = testbin.Dir(); err != nil {
			return kernel.Config{}, err
		}
	}
	return kernel.Config{Kernel: filepath.Join(bin, "linux-uml"), Init: self, Pin: true}, nil
}
