package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/tombolo-net/tombolo/test/lab/kernel"
	"github.com/tombolo-net/tombolo/test/lab/node"
)

// State is how a node's machine is.
type State string

// The states of a machine.
const (
	Off     State = "off"
	Running State = "running"
	Paused  State = "paused"
)

// ErrState is what an operation on a node ends with that its state has no room for, such as
// resuming one that is off.
var ErrState = errors.New("not possible in the node's state")

// machine is one node's kernel, which may be ended and started again. It is safe for concurrent
// use.
type machine struct {
	node   Node
	dir    string // of the node, in the run folder
	kernel kernel.Config
	config node.Config
	failed func(error) // is called when the kernel ends by itself

	mu      sync.Mutex
	running *kernel.Machine // guarded by mu; nil before the first start
	paused  bool            // guarded by mu
	killed  bool            // guarded by mu; kill has ended it
}

// configFile is the node's configuration, in its folder.
const configFile = "config.json"

// prepare writes what the node needs to boot.
func (m *machine) prepare(files map[string][]byte) error {
	for _, dir := range []string{m.kernel.Dir, filepath.Join(m.dir, node.LogDir)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making folder of node %s: %w", m.node.Name, err)
		}
	}
	config, err := json.MarshalIndent(m.config, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding configuration of node %s: %w", m.node.Name, err)
	}
	if err := m.write(configFile, config); err != nil {
		return err
	}
	for name, data := range files {
		if err := m.write(name, data); err != nil {
			return err
		}
	}
	return nil
}

func (m *machine) write(name string, data []byte) error {
	if err := os.WriteFile(filepath.Join(m.dir, name), data, 0o600); err != nil {
		return fmt.Errorf("writing %s of node %s: %w", name, m.node.Name, err)
	}
	return nil
}

// start boots the node. It lives until kill, or until ctx ends.
func (m *machine) start(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.state(); s != Off {
		return fmt.Errorf("starting node %s, which is %s: %w", m.node.Name, s, ErrState)
	}
	path := filepath.Join(m.dir, node.LogDir, "console.log")
	console, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("opening console log of node %s: %w", m.node.Name, err)
	}
	config := m.kernel
	config.Console = console
	running, err := kernel.Start(ctx, config)
	if err != nil {
		return errors.Join(fmt.Errorf("starting node %s: %w", m.node.Name, err), console.Close())
	}
	m.running, m.paused, m.killed = running, false, false
	go func() { // ends with the kernel
		<-running.Done()
		_ = console.Close()
		if err := m.ended(); err != nil {
			m.failed(err)
		}
	}()
	return nil
}

// state returns how the machine is. The caller holds mu.
func (m *machine) state() State {
	if m.running == nil {
		return Off
	}
	select {
	case <-m.running.Done():
		return Off
	default:
	}
	if m.paused {
		return Paused
	}
	return Running
}

// State returns how the machine is.
func (m *machine) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state()
}

// kill ends the machine as if its plug had been pulled, and returns when it is gone. One that is
// off stays so.
func (m *machine) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state() == Off {
		return
	}
	m.killed = true
	m.running.Kill()
	_ = m.running.Wait() // it says that the kernel did not power off by itself
}

// pause freezes the machine, resume lets it go on.
func (m *machine) pause() error { return m.freeze(true) }

func (m *machine) resume() error { return m.freeze(false) }

func (m *machine) freeze(paused bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.state(); s == Off {
		return fmt.Errorf("freezing or resuming node %s, which is %s: %w", m.node.Name, s, ErrState)
	}
	if paused {
		m.running.Pause()
	} else {
		m.running.Resume()
	}
	m.paused = paused
	return nil
}

// ended returns how the kernel has ended by itself. It returns nil for one that runs or was killed.
func (m *machine) ended() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running == nil || m.killed || m.state() != Off {
		return nil
	}
	if err := m.running.Wait(); err != nil {
		return fmt.Errorf("node %s: %w", m.node.Name, err)
	}
	return fmt.Errorf("node %s powered off; its logs are in %s", m.node.Name, filepath.Join(m.dir, node.LogDir))
}

// machineOf returns the machine of a node, which is off and has no files yet.
func (l *Lab) machineOf(c Cluster, n Node) (*machine, error) {
	mac, err := net.ParseMAC(n.MAC)
	if err != nil {
		return nil, fmt.Errorf("preparing node %s: %w", n.Name, err)
	}
	dir := filepath.Join(l.dir, "nodes", n.Name)
	m := &machine{node: n, dir: dir, failed: l.nodeFailed}
	m.kernel = kernel.Config{
		Kernel: filepath.Join(l.options.Bin, "linux-uml"),
		Init:   l.options.Init,
		Dir:    filepath.Join(dir, "uml"),
		Env:    []string{node.ConfigEnv + "=" + filepath.Join(dir, configFile)},
		Memory: l.options.NodeMemory,
		Pin:    true,
		NICs:   []kernel.NIC{{Socket: l.socket(n), MAC: mac}},
	}
	host := l.host.Config()
	m.config = node.Config{
		Name:         n.Name,
		Cluster:      n.Cluster,
		Addresses:    n.prefixes(host),
		Gateways:     inFamilies(c.IPFamily, host.V4.Gateway, host.V6.Gateway),
		MTU:          host.MTU,
		APIServer:    l.controlPlane.Cluster(n.Cluster).NodeURL(),
		Bin:          l.options.Bin,
		Dir:          dir,
		Token:        l.token,
		ClusterDNS:   []netip.Addr{c.DNS},
		PodCIDRs:     c.PodCIDRs,
		CNI:          c.CNI,
		ProxyMode:    c.ProxyMode,
		ExcludeCIDRs: l.options.ExcludeCIDRs,
		Labels:       n.labels(),
		Mirror:       l.mirror(c),
		SandboxImage: sandboxImage,
	}
	return m, nil
}

// api returns a client of the node's control API.
func (l *Lab) api(n Node) node.Client {
	return node.Client{
		URL:   "http://" + net.JoinHostPort(n.Address.String(), strconv.Itoa(node.ControlPort)),
		HTTP:  &http.Client{Transport: &http.Transport{DialContext: l.host.DialContext, DisableKeepAlives: true}},
		Token: l.token,
	}
}

// socket is where the node's kernel finds the switch.
func (l *Lab) socket(n Node) string { return filepath.Join(l.dir, "net", n.Name) }

// issue writes the files with which the node joins its cluster.
func (l *Lab) issue(m *machine) error {
	files, err := l.controlPlane.Cluster(m.node.Cluster).NodeFiles(m.node.Name, m.node.Addresses)
	if err != nil {
		return fmt.Errorf("issuing certificates of node %s: %w", m.node.Name, err)
	}
	return m.prepare(map[string][]byte{
		node.ClientCA:          files.CA,
		node.ServingCert:       files.Kubelet.Cert,
		node.ServingKey:        files.Kubelet.Key,
		node.KubeletKubeconfig: files.KubeletConfig,
		node.ProxyKubeconfig:   files.KubeProxyConfig,
	})
}
