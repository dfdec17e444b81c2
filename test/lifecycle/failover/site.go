package failover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tombolo-net/tombolo/test/harness/loadpod"
	"github.com/tombolo-net/tombolo/test/harness/shell"
	"github.com/tombolo-net/tombolo/test/lab"
	"github.com/tombolo-net/tombolo/test/lifecycle/report"
)

const (
	exporter, importer = "east", "west"
	namespace          = "failover"
	gatewayLabel       = "clusterset.tombolo.dev/gateway"
	// within is how long a step may take on a busy machine.
	within = 3 * time.Minute
)

// The load: how many connections, and how long each rests between two exchanges.
const (
	connections = 200
	rest        = 2 * time.Second
)

// Site is a lab under load: a client in a pod of one cluster, a server in a pod of the other, both
// on nodes that are no gateways. Its methods are called one after the other.
type Site struct {
	shell.Shell
	lab    *lab.Client
	load   *report.Client
	client string // the client's node
	log    func(format string, args ...any)
}

// New makes pods and load in the lab that the environment names, once all of its links are up. log
// is told what happens. The caller calls Close.
func New(ctx context.Context, log func(format string, args ...any)) (*Site, error) {
	s, err := Attach()
	if err != nil {
		return nil, err
	}
	s.log = log
	if err := s.Healthy(ctx); err != nil {
		return nil, err
	}
	if err := s.deploy(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing pods: %w", err), s.Close(ctx))
	}
	if err := s.startLoad(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the load: %w", err), s.Close(ctx))
	}
	return s, nil
}

// Attach returns the lab that the environment names, without load: for Healthy and OneGatewayEach.
func Attach() (*Site, error) {
	sh, err := shell.New()
	if err != nil {
		return nil, err
	}
	client, err := lab.Connect(os.Getenv(lab.RunEnv))
	if err != nil {
		return nil, err
	}
	return &Site{Shell: sh, lab: client}, nil
}

// Close ends the load and removes the pods, also when ctx has ended.
func (s *Site) Close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	if s.load != nil {
		s.load.Kill()
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, cluster := range []string{exporter, importer} {
		g.Go(func() error {
			_, err := s.Kubectl(ctx, cluster, "delete", "namespace", namespace, "--ignore-not-found", "--timeout="+within.String())
			return err
		})
	}
	return g.Wait()
}

// deploy makes a server and a client, and returns when both run.
func (s *Site) deploy(ctx context.Context) error {
	servers, err := s.Nodes(ctx, exporter, "!"+gatewayLabel)
	clients, errClients := s.Nodes(ctx, importer, "!"+gatewayLabel)
	if err := errors.Join(err, errClients); err != nil {
		return err
	}
	s.client = clients[0]
	for cluster, manifest := range map[string]string{
		exporter: loadpod.Service(namespace, "web", "server") + loadpod.Pod{Namespace: namespace, Name: "server", Node: servers[0]}.Manifest(),
		importer: loadpod.Pod{Namespace: namespace, Name: "client", Node: s.client, Sleeps: true}.Manifest(),
	} {
		if err := s.Apply(ctx, cluster, loadpod.Namespace(namespace)+manifest); err != nil {
			return err
		}
	}
	for _, cluster := range []string{exporter, importer} {
		if err := loadpod.Ready(ctx, s.Shell, cluster, namespace, within); err != nil {
			return err
		}
	}
	return nil
}

// startLoad starts the client in its pod's network, straight through its node: it goes on while no
// API server runs. It returns once traffic gets through.
func (s *Site) startLoad(ctx context.Context) error {
	vip, err := loadpod.ClusterSetIP(ctx, s.Shell, importer, namespace, "web", "client", within)
	if err != nil {
		return err
	}
	id, err := s.Kubectl(ctx, importer, "--namespace", namespace, "get", "pod", "client", "--output", "jsonpath={.status.containerStatuses[0].containerID}")
	if err != nil {
		return err
	}
	script := fmt.Sprintf(`exec nsenter --net=/proc/$(ctr --namespace k8s.io task list | awk -v id=%s '$1 == id { print $2 }')/ns/net \
		%s --connections %s --count %d --rest %s --reopen --stream %s`,
		strings.TrimPrefix(id, "containerd://"), loadpod.Program(), net.JoinHostPort(vip, "7"), connections, rest, net.JoinHostPort(vip, "7"))
	s.load, err = report.Start(exec.Command(os.Getenv(lab.ProgramEnv), "node", "exec", s.client, "--", "sh", "-c", script))
	if err != nil {
		return err
	}
	_, err = shell.Eventually(ctx, within, func(context.Context) (string, error) {
		r, err := s.load.Report()
		if err == nil && (r.Stream.Lost() > 0 || r.Stream.Back.Received == 0 || r.Connections.Open < connections) {
			err = fmt.Errorf("%d of %d connections are open: %q; of the stream %+v", r.Connections.Open, connections, r.Connections.Errors, r.Stream)
		}
		return "", err
	})
	return err
}
