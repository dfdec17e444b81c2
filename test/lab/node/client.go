package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// Client speaks to a node's control API. It is safe for concurrent use.
type Client struct {
	// URL is the API's root, without a slash at the end. required
	URL string
	// HTTP sends the requests. required
	HTTP *http.Client
	// Token is the node's, Config.Token; empty if a proxy in between adds it.
	Token string
}

// Command is a program to run on a node, as root, in the node's own namespaces.
type Command struct {
	Args   []string  // required; Args[0] is looked up in the node's PATH
	Env    []string  // optional; KEY=VALUE in addition to the node's
	Stdin  io.Reader // optional
	Stdout io.Writer // optional
	Stderr io.Writer // optional
}

// Exec runs cmd and returns its exit code; the error says that the node could
// not be asked, or could not run it. The command ends with ctx.
func (c Client) Exec(ctx context.Context, cmd Command) (int, error) {
	query := url.Values{"arg": cmd.Args, "env": cmd.Env}
	resp, err := c.do(ctx, http.MethodPost, "/exec?"+query.Encode(), http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {upgradeName},
	})
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		return 0, fmt.Errorf("executing %s: the node answers %s", cmd.Args[0], resp.Status)
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	go writeStdin(&frameWriter{w: conn}, cmd.Stdin) // ends with the input or the connection
	code, err := readOutput(conn, orDiscard(cmd.Stdout), orDiscard(cmd.Stderr))
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("executing %s: %w", strings.Join(cmd.Args, " "), err)
	}
	return code, nil
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// Status returns how the node is.
func (c Client) Status(ctx context.Context) (Status, error) {
	resp, err := c.do(ctx, http.MethodGet, "/status", nil)
	if err != nil {
		return Status{}, err
	}
	defer resp.Body.Close()
	var s Status
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		return Status{}, fmt.Errorf("decoding the node's status: %w", err)
	}
	return s, nil
}

// ImportImage gives the node's containerd an image archive on the host, by its
// absolute path, and returns when pods can use it.
func (c Client) ImportImage(ctx context.Context, path string) error {
	return c.post(ctx, "/images?"+url.Values{"path": {path}}.Encode())
}

// Shutdown powers the node off in an orderly way. It returns when the node has
// heard it; kernel.Machine's Wait returns when it is off.
func (c Client) Shutdown(ctx context.Context) error { return c.post(ctx, "/shutdown") }

func (c Client) post(ctx context.Context, path string) error {
	resp, err := c.do(ctx, http.MethodPost, path, nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// do sends a request and returns the answer if it is a good one.
func (c Client) do(ctx context.Context, method, path string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, nil)
	if err != nil {
		return nil, fmt.Errorf("asking the node: %w", err)
	}
	maps.Copy(req.Header, header)
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the node: %w", err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		text = []byte(resp.Status)
	}
	return nil, fmt.Errorf("asking the node: %w", errors.New(strings.TrimSpace(string(text))))
}
