package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/tombolo-net/tombolo/test/lab/node"
	"github.com/tombolo-net/tombolo/test/lab/underlay"
)

// control serves the run folder's socket, by which other processes work on the lab (Client).
type control struct {
	lab    *Lab
	server *http.Server
	served sync.WaitGroup
}

func (l *Lab) startControl() error {
	listener, err := net.Listen("unix", filepath.Join(l.dir, controlSocket))
	if err != nil {
		return fmt.Errorf("opening control socket: %w", err)
	}
	c := l.control
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", c.status)
	mux.HandleFunc("POST /net/{fault}", c.fault)
	mux.HandleFunc("GET /net/capture", c.capture)
	mux.HandleFunc("POST /nodes/{node}/{operation}", c.operate)
	mux.HandleFunc("POST /api/{cluster}/{operation}", c.operateAPI)
	mux.HandleFunc("/nodes/{node}/api/", c.proxy)
	c.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	c.served.Go(func() { _ = c.server.Serve(listener) }) // ends with ErrServerClosed
	return nil
}

// close ends the server and what it serves.
func (c *control) close() {
	if c.server != nil {
		_ = c.server.Close()
		c.served.Wait()
	}
}

// Status is how a lab is.
type Status struct {
	Dir      string           `json:"dir"`
	Bin      string           `json:"bin"` // the folder of the test binaries
	Pid      int              `json:"pid"`
	Ready    bool             `json:"ready"`
	Topology Topology         `json:"topology"`
	Nodes    map[string]State `json:"nodes"` // by name
}

func (c *control) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(c.lab.Status()) // the client is gone otherwise
}

// fault makes or takes back a fault between the nodes a and b, each the name of a node, of a
// cluster (all of its nodes), or "*" for every node.
func (c *control) fault(w http.ResponseWriter, r *http.Request) {
	set, err := c.faultOf(r)
	if err != nil {
		reply(w, err)
		return
	}
	pairs, err := c.lab.pairs(r.FormValue("a"), r.FormValue("b"))
	for _, p := range pairs {
		err = errors.Join(err, set(p.A, p.B))
	}
	reply(w, err)
}

// faultOf returns the switch's operation that a request is for.
func (c *control) faultOf(r *http.Request) (func(a, b string) error, error) {
	s := c.lab.underlay
	switch fault := r.PathValue("fault"); fault {
	case "cut":
		which, err := selectionOf(r)
		return func(a, b string) error { return s.Cut(a, b, which) }, err
	case "heal":
		return s.Heal, nil
	case "delay":
		d, err := time.ParseDuration(r.FormValue("delay"))
		return func(a, b string) error { return s.Delay(a, b, d) }, err
	case "loss":
		ratio, err := strconv.ParseFloat(r.FormValue("ratio"), 64)
		return func(a, b string) error { return s.Loss(a, b, ratio) }, err
	case "mtu":
		mtu, err := strconv.Atoi(r.FormValue("mtu"))
		silent := r.FormValue("silent") != ""
		return func(a, b string) error { return s.MTU(a, b, mtu, silent) }, err
	case "nat":
		m, errNode := c.lab.machine(r.FormValue("a")) // one node, not a cluster
		outside, err := netip.ParseAddr(r.FormValue("outside"))
		if err := errors.Join(errNode, err); err != nil {
			return nil, err
		}
		inside := m.node.addressOf(true)
		if !inside.IsValid() {
			return nil, fmt.Errorf("node %s has no IPv4 address, and the lab's NAT translates no others: use a cluster with --ip-family ipv4 or dual", m.node.Name)
		}
		return func(a, b string) error { return s.Translate(a, b, inside, outside) }, nil
	default:
		return nil, fmt.Errorf("fault %q: there are cut, heal, delay, loss, mtu, nat", fault)
	}
}

// selectionOf returns which frames a request to cut is about.
func selectionOf(r *http.Request) (which underlay.Selection, err error) {
	which.OneWay = r.FormValue("oneway") != ""
	if ports := r.FormValue("ports"); ports != "" {
		which.Ports, err = underlay.ParsePortRange(ports)
	}
	return which, err
}

// pairs returns the pairs of ports that two names stand for, each a node's, a cluster's, or "*".
func (l *Lab) pairs(a, b string) ([]underlay.Pair, error) {
	as, err := l.ports(a)
	if err != nil {
		return nil, err
	}
	bs, err := l.ports(b)
	if err != nil {
		return nil, err
	}
	var pairs []underlay.Pair
	for _, a := range as {
		for _, b := range bs {
			if a != b || a == "*" {
				pairs = append(pairs, underlay.Pair{A: a, B: b})
			}
		}
	}
	return pairs, nil
}

// ports returns the ports that a name stands for.
func (l *Lab) ports(name string) ([]string, error) {
	if name == "" || name == "*" {
		return []string{"*"}, nil
	}
	var ports []string
	for _, n := range l.topology.Nodes() {
		if n.Name == name || n.Cluster == name {
			ports = append(ports, n.Name)
		}
	}
	if len(ports) == 0 && name == underlay.HostPort {
		return []string{name}, nil
	}
	if len(ports) == 0 {
		return nil, fmt.Errorf("%q is neither a node nor a cluster: %w", name, ErrUnknownNode)
	}
	return ports, nil
}

// capture streams the frames between a and b, as a pcap file, until the client hangs up.
func (c *control) capture(w http.ResponseWriter, r *http.Request) {
	pairs, err := c.lab.pairs(r.FormValue("a"), r.FormValue("b"))
	if err != nil {
		reply(w, err)
		return
	}
	capture, err := c.lab.underlay.Capture(pairs...)
	if err != nil {
		reply(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/vnd.tcpdump.pcap")
	_ = capture.Run(r.Context(), flushWriter{w, http.NewResponseController(w)}) // the client sees a cut-off stream
}

// flushWriter passes on at once what is written to it.
type flushWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (w flushWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	if err == nil {
		err = w.control.Flush()
	}
	return n, err
}

// operate does something to a node's machine.
func (c *control) operate(w http.ResponseWriter, r *http.Request) {
	m, err := c.lab.machine(r.PathValue("node"))
	if err != nil {
		reply(w, err)
		return
	}
	switch operation := r.PathValue("operation"); operation {
	case "kill":
		m.kill()
	case "pause":
		err = m.pause()
	case "resume":
		err = m.resume()
	case "start":
		err = m.start(c.lab.ctx)
	default:
		err = fmt.Errorf("operation %q: there are kill, pause, resume, start", operation)
	}
	reply(w, err)
}

// operateAPI ends or starts a cluster's API server.
func (c *control) operateAPI(w http.ResponseWriter, r *http.Request) {
	cluster := c.lab.controlPlane.Cluster(r.PathValue("cluster"))
	if cluster == nil {
		reply(w, fmt.Errorf("cluster %q: %w", r.PathValue("cluster"), ErrUnknownCluster))
		return
	}
	var err error
	switch operation := r.PathValue("operation"); operation {
	case "stop":
		cluster.StopAPIServer()
	case "start":
		err = cluster.StartAPIServer(r.Context())
	default:
		err = fmt.Errorf("operation %q: there are stop, start", operation)
	}
	reply(w, err)
}

// proxy passes a request on to the node's own API, with its token.
func (c *control) proxy(w http.ResponseWriter, r *http.Request) {
	m, err := c.lab.machine(r.PathValue("node"))
	if err != nil {
		reply(w, err)
		return
	}
	prefix := "/nodes/" + m.node.Name + "/api"
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme = "http"
			p.Out.URL.Host = net.JoinHostPort(m.node.Address.String(), strconv.Itoa(node.ControlPort))
			p.Out.URL.Path = p.In.URL.Path[len(prefix):]
			p.Out.Header.Set("Authorization", "Bearer "+c.lab.token)
		},
		Transport:     &http.Transport{DialContext: c.lab.host.DialContext, DisableKeepAlives: true},
		FlushInterval: -1,
	}
	proxy.ServeHTTP(w, r)
}

// reply answers with the error's text, or that all is well.
func reply(w http.ResponseWriter, err error) {
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, ErrUnknownNode), errors.Is(err, ErrUnknownCluster), errors.Is(err, underlay.ErrUnknownPort):
		http.Error(w, err.Error(), http.StatusNotFound)
	case errors.Is(err, ErrState):
		http.Error(w, err.Error(), http.StatusConflict)
	default:
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}
