// Package engine makes sure that Docker runs, and ends it again if it did not run before. It says of
// each thing that is missing what to do about it. It knows nothing of clusters.
package engine

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// Engine is Docker on this machine.
type Engine struct {
	Dir      string    // required: a folder for what has to be remembered: the daemon that was started, its log
	Progress io.Writer // required
}

// patience is how long the daemon may take to start or to end.
const patience = time.Minute

// runtimeName is that of the OCI runtime that asks for no capability that this machine lacks.
const runtimeName = "tombolo-runc"

//go:embed runc-without-sys-resource
var wrapper []byte

// Ready returns nil once Docker serves, which it starts if need be and if it may. The error names
// what is missing, and the remedy.
func (e *Engine) Ready(ctx context.Context) error {
	if _, err := exec.LookPath("docker"); err != nil {
		return errors.New("the program docker is not here: install Docker; on Debian, as root: hack/deps.sh kind")
	}
	if err := requirements(); err != nil {
		return err
	}
	_, err := e.Docker(ctx, "version", "--format", "{{.Server.Version}}")
	if err == nil {
		return e.checkRuntime(ctx)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("docker does not answer this user: start it (sudo systemctl start docker), or let this user ask it (sudo usermod -aG docker $USER, then log in again): %w", err)
	}
	fmt.Fprintln(e.Progress, "starting Docker (usually 2 s)")
	if err := e.start(ctx); err != nil {
		return fmt.Errorf("starting Docker: %w", err)
	}
	return nil
}

// Docker runs Docker's client and returns what it printed.
func (e *Engine) Docker(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "docker", args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("running docker %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(complaint.Bytes()))
	}
	return string(out), nil
}

// checkRuntime wants our runtime where the daemon that runs needs it.
func (e *Engine) checkRuntime(ctx context.Context) error {
	if hasSysResource() {
		return nil
	}
	name, err := e.Docker(ctx, "info", "--format", "{{.DefaultRuntime}}")
	if err != nil || strings.TrimSpace(name) == runtimeName {
		return err
	}
	return errors.New("this machine gives nobody CAP_SYS_RESOURCE, without which the Docker that runs cannot start a privileged container: end it, and it will be started as it should be")
}

// started is the file that says how Docker was started: the process ID of dockerd, or bySystemd.
func (e *Engine) started() string { return filepath.Join(e.Dir, "docker-started") }

const bySystemd = "systemd"

func (e *Engine) start(ctx context.Context) error {
	if err := os.MkdirAll(e.Dir, 0o755); err != nil {
		return err
	}
	how := bySystemd
	if _, err := os.Stat("/run/systemd/system"); err == nil && hasSysResource() {
		if out, err := exec.CommandContext(ctx, "systemctl", "start", "docker").CombinedOutput(); err != nil {
			return fmt.Errorf("running systemctl start docker: %w: %s", err, bytes.TrimSpace(out))
		}
	} else {
		pid, err := e.startDaemon()
		if err != nil {
			return err
		}
		how = strconv.Itoa(pid)
	}
	if err := os.WriteFile(e.started(), []byte(how), 0o644); err != nil {
		return err
	}
	_, err := shell.Eventually(ctx, patience, func(ctx context.Context) (string, error) { return e.Docker(ctx, "version") })
	if err != nil && how != bySystemd {
		return fmt.Errorf("%w: the end of %s: %s", err, e.log(), tail(e.log()))
	}
	return err
}

func (e *Engine) log() string { return filepath.Join(e.Dir, "dockerd.log") }

// startDaemon starts dockerd, which goes on when this process has ended.
func (e *Engine) startDaemon() (pid int, err error) {
	daemon, err := exec.LookPath("dockerd")
	if err != nil {
		return 0, errors.New("the program dockerd is not here: install Docker; on Debian, as root: hack/deps.sh kind")
	}
	args := []string{}
	if !hasSysResource() {
		path := filepath.Join(e.Dir, "runc-without-sys-resource")
		if err := os.WriteFile(path, wrapper, 0o755); err != nil {
			return 0, err
		}
		args = append(args, "--add-runtime", runtimeName+"="+path, "--default-runtime", runtimeName)
	}
	log, err := os.Create(e.log())
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.Command(daemon, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	pid = cmd.Process.Pid
	return pid, cmd.Process.Release()
}

// Stop ends Docker if Ready started it.
func (e *Engine) Stop(ctx context.Context) error {
	how, err := os.ReadFile(e.started())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if string(how) == bySystemd {
		if out, err := exec.CommandContext(ctx, "systemctl", "stop", "docker.socket", "docker").CombinedOutput(); err != nil {
			return fmt.Errorf("running systemctl stop docker: %w: %s", err, bytes.TrimSpace(out))
		}
		return os.Remove(e.started())
	}
	pid, err := strconv.Atoi(string(how))
	if err != nil {
		return fmt.Errorf("reading %s: %w", e.started(), err)
	}
	if isDaemon(pid) {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			return fmt.Errorf("ending dockerd, process %d: %w", pid, err)
		}
		_, err := shell.Eventually(ctx, patience, func(context.Context) (string, error) {
			if isDaemon(pid) {
				return "", fmt.Errorf("dockerd, process %d, has not ended", pid)
			}
			return "", nil
		})
		if err != nil {
			return err
		}
	}
	return os.Remove(e.started())
}

// CheckEnded returns an error if Stop has left a process of Docker's.
func (e *Engine) CheckEnded() error {
	if _, err := os.Stat(e.log()); err != nil {
		return nil // Ready has started none
	}
	defer os.Remove(e.log())
	left, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range left {
		name, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err != nil || isZombie(pid) {
			continue // it has ended, and its parent, perhaps this process, has not asked how
		}
		switch strings.TrimSpace(string(name)) {
		case "dockerd", "docker-proxy", "containerd-shim":
			errs = append(errs, fmt.Errorf("the process %s is still there: %s", filepath.Base(filepath.Dir(path)), bytes.TrimSpace(name)))
		}
	}
	return errors.Join(errs...)
}

// isDaemon says whether the process is a dockerd: its number may have been given to another.
func isDaemon(pid int) bool {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || strings.TrimSpace(string(name)) != "dockerd" {
		return false
	}
	return !isZombie(pid)
}

// isZombie says whether the process has ended and is only remembered.
func isZombie(pid int) bool {
	state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.Contains(state, []byte(") Z "))
}

// tail is the end of a log.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(text[max(0, len(text)-600):]))
}
