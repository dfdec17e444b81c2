package kubeproxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/tombolo-net/tombolo/hack/testbin"
	"github.com/tombolo-net/tombolo/test/harness/apiserver"
	"github.com/tombolo-net/tombolo/test/harness/scrape"
)

// The modes of kube-proxy, by its own names.
const (
	IPTables = "iptables"
	NFTables = "nftables"
	IPVS     = "ipvs"
)

// Config is how kube-proxy is run.
type Config struct {
	// Mode is one of the constants of this package.
	Mode string // required
	// Node is the node that it runs on; its InternalIPs decide about the address families.
	Node *corev1.Node // required
	// Objects are the Services and EndpointSlices that it finds. More may come with Apply.
	Objects []runtime.Object // optional
	// ClusterCIDRs are the pods' addresses.
	ClusterCIDRs []string // optional
	// ExcludeCIDRs are left alone in mode ipvs.
	ExcludeCIDRs []string // optional
	// NodePortAddresses are where NodePorts answer.
	NodePortAddresses []string // optional, default kube-proxy's own: in mode nftables the node's addresses, else all local ones
	// Dir is a folder for its configuration, of this one alone.
	Dir string // required
	// Enter runs a function in the network namespace that kube-proxy is for, on a thread of its
	// own.
	Enter func(func()) // optional, default: the namespace of this process
	// Log gets what kube-proxy prints.
	Log io.Writer // optional, default nobody
	// Program is the path of kube-proxy.
	Program string // optional, default the one of testbin
}

// kinds are those that kube-proxy v1.36 watches.
var kinds = []apiserver.Kind{
	{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Node"), Plural: "nodes"},
	{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Service"), Plural: "services", Namespaced: true},
	{GroupVersionKind: discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), Plural: "endpointslices", Namespaced: true},
	{GroupVersionKind: networkingv1.SchemeGroupVersion.WithKind("ServiceCIDR"), Plural: "servicecidrs"},
}

// stopGrace is how long kube-proxy may take to end.
const stopGrace = 10 * time.Second

// Proxy is a kube-proxy with its API server. It is not safe for concurrent use, but for Apply and
// Delete.
type Proxy struct {
	cfg    Config
	api    *apiserver.Server
	client *http.Client
	// server is the API server, inside the namespace; front answers outside of it for kube-proxy.
	server, front *http.Server
	// address is where front answers.
	address string

	command *exec.Cmd
	ended   chan struct{}
}

// Start starts kube-proxy and waits until its rules for the objects are in the kernel, or ctx ends.
// Close ends it.
func Start(ctx context.Context, cfg Config) (*Proxy, error) {
	if cfg.Enter == nil {
		cfg.Enter = func(f func()) { f() }
	}
	if cfg.Program == "" {
		dir, err := testbin.Dir()
		if err != nil {
			return nil, err
		}
		cfg.Program = filepath.Join(dir, "kube-proxy")
	}
	p := &Proxy{cfg: cfg, api: apiserver.New(clientgoscheme.Scheme, kinds...)}
	if err := p.api.Put(append([]runtime.Object{cfg.Node}, cfg.Objects...)...); err != nil {
		return nil, err
	}
	if err := p.listen(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if err := errors.Join(p.run(), p.wait(ctx)); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Apply adds objects, or replaces those of the same names. It does not wait for kube-proxy.
func (p *Proxy) Apply(objects ...runtime.Object) error { return p.api.Put(objects...) }

// Delete takes objects away. It does not wait for kube-proxy.
func (p *Proxy) Delete(objects ...runtime.Object) error { return p.api.Remove(objects...) }

// Address is host:port in the namespace of this process where kube-proxy tells its mode and
// metrics. While it does not run, the answer is 502.
func (p *Proxy) Address() string { return p.address }

// PID is the process ID of kube-proxy, 0 if it does not run.
func (p *Proxy) PID() int {
	if p.command == nil {
		return 0
	}
	return p.command.Process.Pid
}

// Stop ends kube-proxy. Its rules stay.
func (p *Proxy) Stop() error {
	if p.command == nil {
		return nil
	}
	process := p.command.Process
	p.command = nil
	if err := process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending kube-proxy: %w", err)
	}
	select {
	case <-p.ended: // by a signal, so that its status tells nothing
		return nil
	case <-time.After(stopGrace):
	}
	err := process.Kill()
	<-p.ended
	return errors.Join(fmt.Errorf("kube-proxy did not end within %s", stopGrace), err)
}

// Restart ends kube-proxy, starts it again and waits until it has compared all of its rules with
// the kernel.
func (p *Proxy) Restart(ctx context.Context) error {
	if err := p.Stop(); err != nil {
		return err
	}
	if err := p.run(); err != nil {
		return err
	}
	return p.wait(ctx)
}

// Cleanup ends kube-proxy and has its own --cleanup remove the rules of all modes, as kubeadm reset advises and as some do
// before they change the mode. Restart makes them again. It may end with an error and have removed all but what something
// else uses.
func (p *Proxy) Cleanup(ctx context.Context) error {
	if err := p.Stop(); err != nil {
		return err
	}
	command := exec.CommandContext(ctx, p.cfg.Program, "--config="+p.file(configFile), "--cleanup")
	command.Stdout, command.Stderr = p.cfg.Log, p.cfg.Log
	var err error
	p.cfg.Enter(func() { err = command.Start() })
	if err == nil {
		err = command.Wait()
	}
	if err != nil {
		return fmt.Errorf("cleaning up after kube-proxy: %w", err)
	}
	return nil
}

// Change restarts kube-proxy in the mode, and with the CIDRs and addresses, that config has; what
// else it has is ignored.
func (p *Proxy) Change(ctx context.Context, config Config) error {
	p.cfg.Mode, p.cfg.ExcludeCIDRs, p.cfg.NodePortAddresses = config.Mode, config.ExcludeCIDRs, config.NodePortAddresses
	if err := p.configure(); err != nil {
		return err
	}
	return p.Restart(ctx)
}

// Close ends kube-proxy and its API server.
func (p *Proxy) Close() error {
	err := p.Stop()
	for _, server := range []*http.Server{p.server, p.front} {
		if server != nil {
			err = errors.Join(err, server.Close())
		}
	}
	return err
}

// listen starts the API server, and what answers for kube-proxy outside of its namespace.
func (p *Proxy) listen() error {
	var err error
	if p.server, err = p.api.Listen(p.cfg.Enter, p.file(kubeconfigFile)); err != nil {
		return err
	}
	outside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening for those who ask kube-proxy: %w", err)
	}
	p.client = scrape.Client(p.cfg.Enter)
	p.front = &http.Server{Handler: p.forward()}
	p.address = outside.Addr().String()
	go func() { _ = p.front.Serve(outside) }() // until Close
	return p.configure()
}

// MetricsAddress is where kube-proxy serves its metrics, in its network namespace.
const MetricsAddress = "127.0.0.1:10249"

const (
	configFile     = "config.json"
	kubeconfigFile = "kubeconfig"
)

func (p *Proxy) file(name string) string { return filepath.Join(p.cfg.Dir, name) }

type object map[string]any

// configure writes kube-proxy's configuration.
func (p *Proxy) configure() error {
	config := object{
		"apiVersion":         "kubeproxy.config.k8s.io/v1alpha1",
		"kind":               "KubeProxyConfiguration",
		"mode":               p.cfg.Mode,
		"hostnameOverride":   p.cfg.Node.Name,
		"metricsBindAddress": MetricsAddress,
		"nodePortAddresses":  p.cfg.NodePortAddresses,
		// These are of the kernel's first namespace, and cannot be set in others.
		"conntrack":        object{"maxPerCore": 0, "min": 0},
		"ipvs":             object{"excludeCIDRs": p.cfg.ExcludeCIDRs},
		"clientConnection": object{"kubeconfig": p.file(kubeconfigFile)},
	}
	if len(p.cfg.ClusterCIDRs) > 0 {
		config["clusterCIDR"] = strings.Join(p.cfg.ClusterCIDRs, ",")
		config["detectLocalMode"] = "ClusterCIDR"
	}
	text, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("encoding kube-proxy's configuration: %w", err)
	}
	return os.WriteFile(p.file(configFile), text, 0o600)
}

func (p *Proxy) run() error {
	command := exec.Command(p.cfg.Program, "--config="+p.file(configFile), "--v=2")
	command.Stdout, command.Stderr = p.cfg.Log, p.cfg.Log
	var err error
	p.cfg.Enter(func() { err = command.Start() }) // the process is born in the namespace of its parent's thread
	if err != nil {
		return fmt.Errorf("starting kube-proxy: %w", err)
	}
	p.command, p.ended = command, make(chan struct{})
	go func(ended chan<- struct{}) {
		_ = command.Wait() // what it says is in its log
		close(ended)
	}(p.ended)
	return nil
}
