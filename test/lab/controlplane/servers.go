package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"

	"k8s.io/client-go/rest"
)

// portTries is how often another port is tried when somebody else took the one that was free a
// moment ago.
const portTries = 5

// startAPIServer starts the API server on a free port of the loopback.
func (c *Cluster) startAPIServer(ctx context.Context, s *spawner, cfg Config) error {
	if err := c.issueCertificates(); err != nil {
		return err
	}
	for try := 1; ; try++ {
		port, err := freePort()
		if err != nil {
			return err
		}
		c.port = port
		err = c.runAPIServer(ctx, s, cfg)
		if err == nil || !errors.Is(err, errExited) || try == portTries {
			return err
		}
	}
}

func (c *Cluster) runAPIServer(ctx context.Context, s *spawner, cfg Config) error {
	transport, err := rest.TransportFor(c.RESTConfig())
	if err != nil {
		return fmt.Errorf("preparing client of %s: %w", c.Name(), err)
	}
	name := c.Name() + "-kube-apiserver"
	args := append([]string{filepath.Join(cfg.Bin, "kube-apiserver")}, c.apiserverFlags(cfg)...)
	c.apiserver, err = s.start(name, cfg.Dir, logFile(cfg.Dir, name), args...)
	if err != nil {
		return err
	}
	if err := c.apiserver.waitReady(ctx, c.ready(&http.Client{Transport: transport})); err != nil {
		c.apiserver.stop(0)
		return err
	}
	c.restart = func(ctx context.Context) error { return c.runAPIServer(ctx, s, cfg) }
	return nil
}

// StopAPIServer ends the API server as if its plug had been pulled, and returns when it is gone.
// Controllers and the scheduler wait for it. One that is stopped stays so.
func (c *Cluster) StopAPIServer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.apiserver.stop(0)
	c.stopped = true
}

// StartAPIServer starts an API server that was stopped, on its old port, and returns when it
// answers. One that runs goes on.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped {
		return nil
	}
	if err := c.restart(ctx); err != nil {
		return fmt.Errorf("starting API server of cluster %s again: %w", c.Name(), err)
	}
	c.stopped = false
	return nil
}

func (c *Cluster) apiserverFlags(cfg Config) []string {
	file := func(name string) string { return filepath.Join(c.dir, name) }
	flags := []string{
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(int(c.port)),
		"--etcd-servers=unix://" + etcdSocket,
		"--etcd-prefix=/" + c.Name(),
		"--client-ca-file=" + file("ca.crt"),
		"--tls-cert-file=" + file("apiserver.crt"),
		"--tls-private-key-file=" + file("apiserver.key"),
		"--kubelet-certificate-authority=" + file("ca.crt"),
		"--kubelet-client-certificate=" + file("apiserver-kubelet.crt"),
		"--kubelet-client-key=" + file("apiserver-kubelet.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-signing-key-file=" + file("sa.key"),
		"--service-account-key-file=" + file("sa.pub"),
		"--service-cluster-ip-range=" + joinPrefixes(c.config.ServiceCIDRs),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
	}
	if len(cfg.HostAddresses) > 0 {
		flags = append(flags, "--advertise-address="+c.address(c.config.ServiceCIDRs[0].Addr().Is4()).String())
	} else {
		// The Service kubernetes may not have a loopback address for its endpoint: it gets none.
		flags = append(flags, "--endpoint-reconciler-type=none", "--advertise-address=127.0.0.1")
	}
	if cfg.DialNode != nil {
		flags = append(flags, "--egress-selector-config-file=egress.yaml")
	}
	return flags
}

func (c *Cluster) startControllers(s *spawner, cfg Config) error {
	conf := filepath.Join(c.dir, "controllers.kubeconfig")
	flags := []string{
		"--kubeconfig=" + conf,
		"--controllers=" + strings.Join(c.config.Controllers, ","),
		"--secure-port=0",
		"--leader-elect=false",
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + filepath.Join(c.dir, "sa.key"),
		"--root-ca-file=" + filepath.Join(c.dir, "ca.crt"),
		"--cluster-signing-cert-file=" + filepath.Join(c.dir, "ca.crt"),
		"--cluster-signing-key-file=" + filepath.Join(c.dir, "ca.key"),
		"--service-cluster-ip-range=" + joinPrefixes(c.config.ServiceCIDRs),
		"--kube-api-qps=100", "--kube-api-burst=200",
	}
	if len(c.config.PodCIDRs) > 0 {
		flags = append(flags, "--allocate-node-cidrs=true", "--cluster-cidr="+joinPrefixes(c.config.PodCIDRs))
	}
	var err error
	c.controllers, err = c.startClient(s, cfg, "kube-controller-manager", controllersFile, flags)
	return err
}

func (c *Cluster) startScheduler(s *spawner, cfg Config) error {
	var err error
	c.scheduler, err = c.startClient(s, cfg, "kube-scheduler", schedulerFile, []string{
		"--kubeconfig=" + filepath.Join(c.dir, "scheduler.kubeconfig"),
		"--secure-port=0",
		"--leader-elect=false",
		"--kube-api-qps=100", "--kube-api-burst=200",
	})
	return err
}

// startClient starts a program that works through the API server, with the certificate in the files
// called identity.
func (c *Cluster) startClient(s *spawner, cfg Config, program, identity string, flags []string) (*process, error) {
	a := access{context: c.Name(), server: c.hostURL(), ca: c.CA(), pair: c.pairs[identity]}
	if err := writeKubeconfig(filepath.Join(c.dir, identity+".kubeconfig"), a); err != nil {
		return nil, err
	}
	name := c.Name() + "-" + program
	args := append([]string{filepath.Join(cfg.Bin, program)}, flags...)
	return s.start(name, cfg.Dir, logFile(cfg.Dir, name), args...)
}

// freePort returns a TCP port of the loopback that is free at this moment.
func freePort() (uint16, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	defer l.Close() // nothing was accepted
	return l.Addr().(*net.TCPAddr).AddrPort().Port(), nil
}
