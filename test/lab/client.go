package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tombolo-net/tombolo/test/lab/node"
	"github.com/tombolo-net/tombolo/test/lab/underlay"
)

// Variables that commands in a lab find in their environment, beside KUBECONFIG.
const (
	// RunEnv holds the run folder, for Connect.
	RunEnv = "LAB_RUN"
	// ProgramEnv holds the path of the program lab.
	ProgramEnv = "LAB_BIN"
)

// Client works on a lab that another process runs. It is safe for concurrent use.
type Client struct {
	dir  string
	http *http.Client
}

// Connect returns a client of the lab in the run folder dir. Nothing is sent before the client's
// methods are called.
func Connect(dir string) (*Client, error) {
	if dir == "" {
		return nil, fmt.Errorf("connecting to a lab: no run folder given, is %s set?", RunEnv)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("connecting to a lab: %w", err)
	}
	c := &Client{dir: dir}
	c.http = &http.Client{Transport: &http.Transport{DialContext: c.dial, DisableCompression: true, DisableKeepAlives: true}}
	return c, nil
}

func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", filepath.Join(c.dir, controlSocket))
}

// Dir returns the run folder.
func (c *Client) Dir() string { return c.dir }

// Kubeconfig returns the path of the administrator's kubeconfig.
func (c *Client) Kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }

// Status returns how the lab is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	body, err := c.do(ctx, http.MethodGet, "/status", nil)
	if err != nil {
		return s, fmt.Errorf("asking for the lab's status: %w", err)
	}
	defer body.Close() // it was read
	if err := json.NewDecoder(body).Decode(&s); err != nil {
		return s, fmt.Errorf("reading the lab's status: %w", err)
	}
	return s, nil
}

// Cut drops the selected frames between a and b until Heal. a and b name a node each, or a cluster,
// which stands for all of its nodes, or are "*" for all nodes, or "host" for the way to the API
// servers. Unknown names give ErrUnknownNode.
func (c *Client) Cut(ctx context.Context, a, b string, which underlay.Selection) error {
	query := url.Values{}
	if which.OneWay {
		query.Set("oneway", "true")
	}
	if which.Ports != (underlay.PortRange{}) {
		query.Set("ports", which.Ports.String())
	}
	return c.fault(ctx, "cut", a, b, query)
}

// Heal takes back every fault between a and b. a and b are as for Cut.
func (c *Client) Heal(ctx context.Context, a, b string) error {
	return c.fault(ctx, "heal", a, b, nil)
}

// MTU lets only IP packets of at most mtu bytes pass between a and b, as a router with a smaller MTU
// would: what is too large is fragmented, or dropped with a word to its sender, or without one if
// silent. 0 takes it back. a and b are as for Cut.
func (c *Client) MTU(ctx context.Context, a, b string, mtu int, silent bool) error {
	query := url.Values{"mtu": {strconv.Itoa(mtu)}}
	if silent {
		query.Set("silent", "true")
	}
	return c.fault(ctx, "mtu", a, b, query)
}

// Translate puts a port-restricted NAT between a node and b, which sees the node under the address
// outside, an IPv4 address of the nodes' network that nobody has, and other ports. b is as for Cut.
func (c *Client) Translate(ctx context.Context, name, b string, outside netip.Addr) error {
	return c.fault(ctx, "nat", name, b, url.Values{"outside": {outside.String()}})
}

// Delay holds every frame between a and b back for d, each way; 0 takes it back. a and b are as for
// Cut.
func (c *Client) Delay(ctx context.Context, a, b string, d time.Duration) error {
	return c.fault(ctx, "delay", a, b, url.Values{"delay": {d.String()}})
}

// Loss drops each frame between a and b with the probability ratio, 0 to 1; 0 takes it back. a and
// b are as for Cut.
func (c *Client) Loss(ctx context.Context, a, b string, ratio float64) error {
	return c.fault(ctx, "loss", a, b, url.Values{"ratio": {strconv.FormatFloat(ratio, 'g', -1, 64)}})
}

func (c *Client) fault(ctx context.Context, fault, a, b string, query url.Values) error {
	if query == nil {
		query = url.Values{}
	}
	query.Set("a", a)
	query.Set("b", b)
	if err := c.post(ctx, "/net/"+fault, query); err != nil {
		return fmt.Errorf("setting %s between %q and %q: %w", fault, a, b, err)
	}
	return nil
}

// Capture returns a recording of the frames between a and b from now on, as a pcap file that grows
// until it is closed. a and b are as for Cut. Reading ends with ctx.
func (c *Client) Capture(ctx context.Context, a, b string) (io.ReadCloser, error) {
	body, err := c.do(ctx, http.MethodGet, "/net/capture", url.Values{"a": {a}, "b": {b}})
	if err != nil {
		return nil, fmt.Errorf("capturing between %q and %q: %w", a, b, err)
	}
	return body, nil
}

// Kill ends a node as if its plug had been pulled, and returns when it is gone.
func (c *Client) Kill(ctx context.Context, name string) error { return c.operate(ctx, name, "kill") }

// Start boots a node that is off. Everything that was on it is lost, except its logs. Start does
// not wait until the node is Ready.
func (c *Client) Start(ctx context.Context, name string) error { return c.operate(ctx, name, "start") }

// Pause freezes a node, its clock too.
func (c *Client) Pause(ctx context.Context, name string) error { return c.operate(ctx, name, "pause") }

// Resume lets a paused node go on.
func (c *Client) Resume(ctx context.Context, name string) error {
	return c.operate(ctx, name, "resume")
}

// StopAPIServer ends a cluster's API server, or the hub's, as if its plug had been pulled, and
// returns when it is gone. One that is stopped stays so.
func (c *Client) StopAPIServer(ctx context.Context, cluster string) error {
	return c.operateAPI(ctx, cluster, "stop")
}

// StartAPIServer starts an API server that was stopped, with what it knew, and returns when it
// answers. One that runs goes on.
func (c *Client) StartAPIServer(ctx context.Context, cluster string) error {
	return c.operateAPI(ctx, cluster, "start")
}

func (c *Client) operateAPI(ctx context.Context, cluster, operation string) error {
	if err := c.post(ctx, "/api/"+url.PathEscape(cluster)+"/"+operation, nil); err != nil {
		return fmt.Errorf("API server of %s: %s: %w", cluster, operation, err)
	}
	return nil
}

// Exec runs a command on a node, as root in the node's own namespaces, and returns its exit code;
// an error says that it could not be run. It ends with ctx.
func (c *Client) Exec(ctx context.Context, name string, command node.Command) (int, error) {
	api := node.Client{URL: "http://lab/nodes/" + url.PathEscape(name) + "/api", HTTP: c.http}
	code, err := api.Exec(ctx, command)
	if err != nil {
		return 0, fmt.Errorf("node %s: %w", name, err)
	}
	return code, nil
}

func (c *Client) operate(ctx context.Context, name, operation string) error {
	if err := c.post(ctx, "/nodes/"+url.PathEscape(name)+"/"+operation, nil); err != nil {
		return fmt.Errorf("node %s: %s: %w", name, operation, err)
	}
	return nil
}

func (c *Client) post(ctx context.Context, path string, query url.Values) error {
	body, err := c.do(ctx, http.MethodPost, path, query)
	if err != nil {
		return err
	}
	return body.Close()
}

// do sends a request and returns the answer's body, or the error that the answer is.
func (c *Client) do(ctx context.Context, method, path string, query url.Values) (io.ReadCloser, error) {
	u := url.URL{Scheme: "http", Host: "lab", Path: path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode < 300 {
		return response.Body, nil
	}
	defer response.Body.Close() // it was read
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	return nil, remoteError{status: response.StatusCode, text: strings.TrimSpace(string(text))}
}

// remoteError is an error that the lab answered with.
type remoteError struct {
	status int
	text   string
}

func (e remoteError) Error() string { return e.text }

// Is says whether the error was target in the lab's process.
func (e remoteError) Is(target error) bool {
	switch target {
	case ErrUnknownNode, ErrUnknownCluster:
		return e.status == http.StatusNotFound
	case ErrState:
		return e.status == http.StatusConflict
	}
	return false
}
