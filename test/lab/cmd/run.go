package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/test/lab"
)

// runCommand returns `lab run`, which runs one command in a lab of its own.
func runCommand() *cobra.Command {
	var o lab.Options
	var keep bool
	c := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARGS...]",
		Short: "Run a command in a lab of its own",
		Long: `Starts a lab, runs COMMAND when it is ready, ends the lab, and ends with COMMAND's exit code.

COMMAND finds in its environment:
  KUBECONFIG  a file with the contexts east, west, ... and hub
  LAB_RUN     the lab's run folder; lab net and lab node work on the lab of that folder
  LAB_BIN     the path of this program
  PATH        with kubectl and lab first

Nothing is left when it is over, also when it is interrupted. If COMMAND fails, the folder with every component's
logs stays, and its path is printed. If a node's kernel ends by itself, such as in a panic, COMMAND is ended at once, and
lab run fails with the last lines of that kernel's console.`,
		Example: `  lab run -- kubectl --context east get nodes
  lab run --clusters 3 --nodes 3 -- go test -tags e2e ./test/e2e
  lab run -- bash`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Progress = cmd.ErrOrStderr()
			return runInLab(cmd.Context(), o, keep, args)
		},
	}
	c.Flags().SetInterspersed(false)
	c.Flags().BoolVar(&keep, "keep-logs", false, "keep the run folder also when COMMAND succeeds")
	topologyFlags(c.Flags(), &o)
	return c
}

func runInLab(ctx context.Context, o lab.Options, keep bool, args []string) (err error) {
	if err := adoptOrphans(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, endOrphans()) }()
	l, err := lab.Up(ctx, o)
	if err != nil {
		return err
	}
	watched, stop := l.Watch(ctx)
	defer stop()
	code, err := runWith(watched, l, args)
	if broken := l.Broken(); broken != nil {
		code, err = 0, broken // how the command has ended came of it
	}
	failed := (err != nil || code != 0) && ctx.Err() == nil
	if failed || keep {
		fmt.Fprintf(os.Stderr, "lab: logs are in %s\n", l.Dir())
	}
	if err := errors.Join(err, l.Down(failed || keep)); err != nil || code == 0 {
		return err
	}
	return exitError(code)
}

// grace is how long a command may take to end when it is asked to.
const grace = 10 * time.Second

// runWith runs args with the lab's environment and returns the exit code, 128 + n when signal n
// ended it. When ctx ends, args is asked to end, too.
func runWith(ctx context.Context, l *lab.Lab, args []string) (int, error) {
	env, err := labEnv(l.Dir(), l.Kubeconfig(), l.Bin())
	if err != nil {
		return 0, err
	}
	path, err := lookPath(args[0], env)
	if err != nil {
		return 0, err
	}
	// The kernel ends the command with the thread that started it, should lab be killed: keep it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, path, args[1:]...)
	cmd.Args[0] = args[0]
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = grace
	return codeOf(cmd.Run())
}

// codeOf returns the exit code that a command's error stands for. It returns the error itself if
// the command did not cause it.
func codeOf(err error) (int, error) {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		if errors.Is(err, context.Canceled) { // it ended well after it had been asked to
			return 128 + int(syscall.SIGTERM), nil
		}
		return 0, err
	}
	status := exit.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

// labEnv returns this process's environment with what commands in a lab need, PATH last.
func labEnv(dir, kubeconfig, bin string) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding lab's own program: %w", err)
	}
	path := filepath.Dir(self) + string(os.PathListSeparator) + bin
	if old := os.Getenv("PATH"); old != "" {
		path += string(os.PathListSeparator) + old
	}
	return append(os.Environ(), "KUBECONFIG="+kubeconfig, lab.RunEnv+"="+dir, lab.ProgramEnv+"="+self, "PATH="+path), nil
}

// lookPath finds a program as a shell with env would.
func lookPath(name string, env []string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) {
		return exec.LookPath(name)
	}
	_, path, _ := strings.Cut(env[len(env)-1], "=") // labEnv has it last
	for _, dir := range filepath.SplitList(path) {
		if p := filepath.Join(dir, name); executable(p) {
			return p, nil
		}
	}
	return "", fmt.Errorf("finding %s: %w", name, exec.ErrNotFound)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// adoptOrphans makes this process the parent of what a command leaves behind, see
// PR_SET_CHILD_SUBREAPER in prctl(2).
func adoptOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("becoming the parent of orphaned processes: %w", err)
	}
	return nil
}

// endOrphans kills all that is left of the processes started here, and of theirs.
func endOrphans() error {
	for {
		children, err := children()
		if err != nil || len(children) == 0 {
			return err
		}
		for _, pid := range children {
			_ = unix.Kill(pid, unix.SIGKILL) // an error means that it has ended
			_, _ = unix.Wait4(pid, nil, 0, nil)
		}
	}
}

// children returns the process IDs of this process's children.
func children() ([]int, error) {
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return nil, fmt.Errorf("listing child processes: %w", err)
	}
	var all []int
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(text)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				return nil, fmt.Errorf("listing child processes: %w", err)
			}
			all = append(all, pid)
		}
	}
	return all, nil
}
