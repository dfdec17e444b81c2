package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// serve returns a client of a node's API that runs in this process.
func serve(t *testing.T) Client {
	t.Helper()
	cfg := valid()
	n := &node{cfg: cfg, log: slog.New(slog.DiscardHandler), status: newStatus()}
	server := httptest.NewServer(n.handler(func() {}))
	t.Cleanup(server.Close)
	return Client{URL: server.URL, HTTP: server.Client(), Token: cfg.Token}
}

func TestExec(t *testing.T) {
	big := strings.Repeat("0123456789\n", 100_000)
	tests := []struct {
		name   string
		args   []string
		env    []string
		stdin  io.Reader
		code   int
		stdout string
		stderr string
	}{
		{name: "success", args: []string{"true"}},
		{name: "exit code", args: []string{"sh", "-c", "exit 7"}, code: 7},
		{name: "signal", args: []string{"sh", "-c", "kill -9 $$"}, code: 137},
		{name: "output", args: []string{"sh", "-c", "echo a; echo b >&2"}, stdout: "a\n", stderr: "b\n"},
		{name: "environment", args: []string{"sh", "-c", "echo $A $NODE_NAME"}, env: []string{"A=x"}, stdout: "x east-1\n"},
		{name: "input", args: []string{"cat"}, stdin: strings.NewReader(big), stdout: big},
		{name: "input that nobody reads", args: []string{"true"}, stdin: strings.NewReader(big)},
		{name: "input that does not end", args: []string{"echo", "a"}, stdin: endless{}, stdout: "a\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code, err := serve(t).Exec(t.Context(), Command{Args: tt.args, Env: tt.env, Stdin: tt.stdin, Stdout: &stdout, Stderr: &stderr})
			if err != nil {
				t.Fatal(err)
			}
			if code != tt.code {
				t.Errorf("code %d, want %d", code, tt.code)
			}
			if stdout.String() != tt.stdout || stderr.String() != tt.stderr {
				t.Errorf("stdout %d bytes %.20q, want %d; stderr %q, want %q",
					stdout.Len(), stdout.String(), len(tt.stdout), stderr.String(), tt.stderr)
			}
		})
	}
}

// endless is input that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestExecEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	out := writerFunc(func(p []byte) (int, error) {
		cancel(cause)
		return len(p), nil
	})
	begin := time.Now()
	_, err := serve(t).Exec(ctx, Command{Args: []string{"sh", "-c", "echo; exec sleep 60"}, Stdout: out})
	if !errors.Is(err, cause) {
		t.Errorf("Exec: %v, want %v", err, cause)
	}
	if time.Since(begin) > 30*time.Second {
		t.Error("Exec waited for the command")
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestAPIErrors(t *testing.T) {
	good := serve(t)
	stranger := good
	stranger.Token = "wrong"
	for _, tt := range []struct {
		name string

		ask  func() error
		want string
	}{
		{"no such program", func() error {
			_, err := good.Exec(t.Context(), Command{Args: []string{"no-such-program"}})
			return err
		}, "no-such-program"},
		{"no command", func() error {
			_, err := good.Exec(t.Context(), Command{})
			return err
		}, "a command is needed"},
		{"no token", func() error {
			_, err := stranger.Status(t.Context())
			return err
		}, "a bearer token is needed"},
		{"relative archive", func() error { return good.ImportImage(t.Context(), "x.tar") }, "an absolute path is needed"},
		{"no upgrade", func() error {
			_, err := good.do(t.Context(), http.MethodPost, "/exec?arg=true", nil)
			return err
		}, "an upgrade"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.ask(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	cfg := valid()
	n := &node{cfg: cfg, log: slog.New(slog.DiscardHandler), status: newStatus()}
	server := httptest.NewServer(n.handler(func() {}))
	defer server.Close()
	n.status.set("kubelet", StateFailed, errors.New("no disk"))
	n.status.set("kubelet", StateReady, nil)
	got, err := Client{URL: server.URL, HTTP: server.Client(), Token: cfg.Token}.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := got.Components["kubelet"]
	if got.Name != cfg.Name || c.State != StateReady || c.Failures != 1 || c.Error != "no disk" {
		t.Errorf("got %+v", got)
	}
}
