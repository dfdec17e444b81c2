package kernel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// CommandEnv is the environment variable by which PID 1 finds its Command: the
// absolute path of a JSON file.
const CommandEnv = "LAB_COMMAND"

// Command is a program to run as root in a kernel of its own, on a copy of the
// host's files that vanishes with the kernel.
type Command struct {
	Args     []string `json:"args"`               // required; Args[0] is found in Env's PATH
	Env      []string `json:"env"`                // KEY=VALUE
	Dir      string   `json:"dir"`                // required; the working directory
	Writable []string `json:"writable,omitempty"` // the host's folders that it may write

	Stdin  io.Reader `json:"-"` // optional
	Stdout io.Writer `json:"-"` // optional
	Stderr io.Writer `json:"-"` // optional
}

// Files of the state folder.
const (
	commandFile = "command.json"
	// ResultFile is where PID 1 leaves the command's Result, in the folder of
	// its command file.
	ResultFile = "result.json"
)

// Result is how a Command ended.
type Result struct {
	Code  int    `json:"code"`            // the exit code, 128 + n when signal n ended it
	Error string `json:"error,omitempty"` // why it did not run at all
}

// Run boots a kernel by cfg, runs c in it, and returns c's exit code once the
// kernel is gone. The error says that the kernel or PID 1 failed, not that c did.
// cfg.Dir, Stdin, Stdout and Stderr are Run's own to set.
func Run(ctx context.Context, cfg Config, c Command) (int, error) {
	dir, err := os.MkdirTemp("", "lab-kernel-")
	if err != nil {
		return 0, fmt.Errorf("making the kernel's state folder: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, commandFile)
	if err := writeJSON(path, c); err != nil {
		return 0, err
	}
	cfg.Dir, cfg.Stdin, cfg.Stdout, cfg.Stderr = dir, c.Stdin, c.Stdout, c.Stderr
	cfg.Env = append(cfg.Env, CommandEnv+"="+path)
	m, err := Start(ctx, cfg)
	if err != nil {
		return 0, err
	}
	err = m.Wait()
	if ctx.Err() != nil {
		return 0, fmt.Errorf("running %s in a kernel: %w; the console's last lines:\n%s", c.Args[0], context.Cause(ctx), m.console)
	}
	if err != nil {
		return 0, err
	}
	return readResult(filepath.Join(dir, ResultFile), m.console.String())
}

// readResult returns the exit code that PID 1 left at path.
func readResult(path, console string) (int, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("the kernel powered off without a result; its console's last lines:\n%s", console)
	}
	if err != nil {
		return 0, fmt.Errorf("reading the command's result: %w", err)
	}
	var r Result
	if err := json.Unmarshal(text, &r); err != nil {
		return 0, fmt.Errorf("reading the command's result: %w", err)
	}
	if r.Error != "" {
		return 0, errors.New(r.Error)
	}
	return r.Code, nil
}

func writeJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return os.WriteFile(path, text, 0o600)
}
