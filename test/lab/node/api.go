package node

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// serveControl serves the control API until shutdown was asked for, or ctx ends.
func (n *node) serveControl(ctx context.Context, cancel context.CancelFunc) error {
	server := &http.Server{Handler: n.handler(cancel), ReadHeaderTimeout: 10 * time.Second}
	listener, err := net.Listen("tcp", net.JoinHostPort(n.cfg.Addresses[0].Addr().String(), strconv.Itoa(ControlPort)))
	if err != nil {
		return fmt.Errorf("opening the control API: %w", err)
	}
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.Background(), stopGrace)
		defer cancel()
		_ = server.Shutdown(grace) // the node ends anyway
	})
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the control API: %w", err)
	}
	return nil
}

// handler returns the control API; shutdown ends the node.
//
//	GET  /status                    a Status
//	POST /exec?arg=A&arg=B&env=K=V  runs a command; the connection is upgraded to frames both ways (stream.go)
//	POST /images?path=P             gives containerd the archive at P on the host
//	POST /shutdown                  powers the node off
func (n *node) handler(shutdown func()) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", n.handleStatus)
	mux.HandleFunc("POST /exec", n.handleExec)
	mux.HandleFunc("POST /images", n.handleImages)
	mux.HandleFunc("POST /shutdown", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		shutdown()
	})
	return n.authenticated(mux)
}

// authenticated lets requests through that carry the node's token.
func (n *node) authenticated(next http.Handler) http.Handler {
	want := []byte("Bearer " + n.cfg.Token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			http.Error(w, "a bearer token is needed", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (n *node) handleStatus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(n.status.get(n.cfg.Name)) // the client is gone otherwise
}

func (n *node) handleImages(w http.ResponseWriter, r *http.Request) {
	path := r.FormValue("path")
	if !filepath.IsAbs(path) {
		http.Error(w, fmt.Sprintf("path %q: an absolute path is needed", path), http.StatusBadRequest)
		return
	}
	if err := importImage(r.Context(), n.cfg, path); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// handleExec runs a command, on a connection that is its own from then on.
func (n *node) handleExec(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	args := query["arg"]
	if len(args) == 0 {
		http.Error(w, "arg: a command is needed", http.StatusBadRequest)
		return
	}
	if r.Header.Get("Upgrade") != upgradeName {
		http.Error(w, "an upgrade to "+upgradeName+" is needed", http.StatusUpgradeRequired)
		return
	}
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", upgradeName)
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		n.log.Error("taking over a connection", "error", err)
		return
	}
	defer conn.Close()
	if err := buffered.Flush(); err != nil {
		return // the client is gone
	}
	out := &frameWriter{w: conn}
	code, err := n.exec(args, query["env"], buffered, out)
	_ = out.writeExit(code, err) // the client is gone otherwise
}

// backgroundGrace is how long what a command leaves behind in the background may
// still write to the command's output.
const backgroundGrace = 5 * time.Second

// exec runs args with the frames of in as input, and returns the exit code. The
// command is killed when in ends before it does.
func (n *node) exec(args, env []string, in io.Reader, out *frameWriter) (int, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(componentEnv(n.cfg), env...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = out.channel(channelStdout), out.channel(channelStderr)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = backgroundGrace
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 0, fmt.Errorf("running %s: %w", args[0], err)
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("running %s: %w", args[0], err)
	}
	go func() { // ends with the connection
		defer cancel()
		readStdin(in, stdin)
	}()
	err = cmd.Wait()
	var exit *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrWaitDelay):
		return 0, nil
	case !errors.As(err, &exit):
		return 0, err
	}
	status := exit.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}
