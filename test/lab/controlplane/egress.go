package controlplane

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// egressSocket is where the API servers find the way to the nodes, in the run folder.
const egressSocket = "egress"

// egressConfig is an EgressSelectorConfiguration: all that goes to the cluster's own network
// (kubelets) takes the socket.
// https://kubernetes.io/docs/tasks/extend-kubernetes/setup-konnectivity
const egressConfig = `apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: HTTPConnect
    transport:
      uds:
        udsName: ` + egressSocket + `
`

// egress is an HTTP CONNECT proxy (RFC 9110 section 9.3.6) on a unix socket.
type egress struct {
	server *http.Server
	dial   Dialer
	served sync.WaitGroup
}

// startEgress listens in dir and writes the file that tells the API servers.
func startEgress(dir string, dial Dialer) (*egress, error) {
	listener, err := listenIn(dir, egressSocket)
	if err != nil {
		return nil, fmt.Errorf("listening for API servers on their way to nodes: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "egress.yaml"), []byte(egressConfig), 0o644); err != nil {
		return nil, errors.Join(fmt.Errorf("writing egress configuration: %w", err), listener.Close())
	}
	e := &egress{dial: dial}
	e.server = &http.Server{Handler: http.HandlerFunc(e.connect), ReadHeaderTimeout: 10 * time.Second}
	e.served.Go(func() { _ = e.server.Serve(listener) }) // ends with ErrServerClosed
	return e, nil
}

// close ends the listener and what waits for an answer. Open tunnels end with the API servers.
func (e *egress) close() {
	if e == nil {
		return
	}
	_ = e.server.Close()
	e.served.Wait()
}

func (e *egress) connect(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "only CONNECT is served here", http.StatusMethodNotAllowed)
		return
	}
	up, err := e.dial(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer up.Close() // both directions have ended
	down, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer down.Close() // both directions have ended
	if _, err := io.WriteString(down, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	splice(up, down, buffered)
}

// splice copies both ways until both ends have said that they are done. What was read ahead from b
// is in early.
func splice(a, b net.Conn, early io.Reader) {
	var g sync.WaitGroup
	g.Go(func() { copyHalf(a, early) })
	g.Go(func() { copyHalf(b, a) })
	g.Wait()
}

// copyHalf copies one direction and passes its end on, so that a half-closed connection stays one.
func copyHalf(to net.Conn, from io.Reader) {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	_ = to.Close()
}

func listenIn(dir, name string) (net.Listener, error) {
	path, closeDir, err := shortPath(dir, name)
	if err != nil {
		return nil, err
	}
	defer closeDir()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false) // its path is no longer good then
	return listener, nil
}

// shortPath returns a path of dir/name that fits into a socket's address (107 bytes, unix(7)),
// however long dir is, good until the returned function is called.
func shortPath(dir, name string) (string, func(), error) {
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, fmt.Errorf("opening folder of socket %s: %w", name, err)
	}
	path := filepath.Join("/proc/self/fd", strconv.Itoa(int(f.Fd())), name)
	return path, func() { _ = f.Close() }, nil
}
