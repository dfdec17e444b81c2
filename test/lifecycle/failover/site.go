package failover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

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
	program := filepath.Join(filepath.Dir(os.Getenv(lab.ProgramEnv)), "load") // nodes see the host's files
	if err := s.deploy(ctx, program); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing pods: %w", err), s.Close(ctx))
	}
	if err := s.startLoad(ctx, program); err != nil {
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
func (s *Site) deploy(ctx context.Context, program string) error {
	servers, err := s.Nodes(ctx, exporter, "!"+gatewayLabel)
	clients, errClients := s.Nodes(ctx, importer, "!"+gatewayLabel)
	if err := errors.Join(err, errClients); err != nil {
		return err
	}
	s.client = clients[0]
	for cluster, manifest := range map[string]string{
		exporter: fmt.Sprintf(service, namespace) + fmt.Sprintf(pod, "server", namespace, servers[0], `["/load", "serve", "$(POD_IP)"]`, program),
		importer: fmt.Sprintf(pod, "client", namespace, s.client, `["sleep", "infinity"]`, program),
	} {
		if err := s.Apply(ctx, cluster, fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n---\n", namespace)+manifest); err != nil {
			return err
		}
	}
	for _, cluster := range []string{exporter, importer} {
		if _, err := s.Kubectl(ctx, cluster, "--namespace", namespace, "wait", "--for=condition=Ready", "pod", "--all", "--timeout="+within.String()); err != nil {
			return err
		}
	}
	return nil
}

// startLoad starts the client in its pod's network, straight through its node: it goes on while no
// API server runs. It returns once traffic gets through.
func (s *Site) startLoad(ctx context.Context, program string) error {
	vip, err := s.clusterSetIP(ctx)
	if err != nil {
		return err
	}
	id, err := s.Kubectl(ctx, importer, "--namespace", namespace, "get", "pod", "client", "--output", "jsonpath={.status.containerStatuses[0].containerID}")
	if err != nil {
		return err
	}
	script := fmt.Sprintf(`exec nsenter --net=/proc/$(ctr --namespace k8s.io task list | awk -v id=%s '$1 == id { print $2 }')/ns/net \
		%s --connections %s:7 --count %d --rest %s --reopen --stream %s:7`,
		strings.TrimPrefix(id, "containerd://"), program, vip, connections, rest, vip)
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

// clusterSetIP returns the address of the import once the client's pod reaches it.
func (s *Site) clusterSetIP(ctx context.Context) (string, error) {
	return shell.Eventually(ctx, within, func(ctx context.Context) (string, error) {
		ip, err := s.Kubectl(ctx, importer, "--namespace", namespace, "get", "serviceimports.multicluster.x-k8s.io", "web", "--output", "jsonpath={.spec.ips[0]}")
		if err != nil || ip == "" {
			return "", fmt.Errorf("no clusterset IP: %w", err)
		}
		_, err = s.InPod(ctx, importer, namespace, "client", "curl", "--silent", "--show-error", "--fail", "--http0.9", "--max-time", "5", "http://"+ip+"/")
		return ip, err
	})
}

const service = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: %[1]s}
spec:
  selector: {app: server}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: lines, port: 7, targetPort: 7007}
  - {name: packets, port: 7, targetPort: 7007, protocol: UDP}
---
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: web, namespace: %[1]s}
---
`

const pod = `
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: %[2]s, labels: {app: %[1]s}}
spec:
  nodeSelector: {kubernetes.io/hostname: %[3]s}
  terminationGracePeriodSeconds: 1
  tolerations: [{operator: Exists}]
  containers:
  - name: load
    image: nicolaka/netshoot:v0.15
    imagePullPolicy: IfNotPresent
    command: %[4]s
    securityContext: {capabilities: {add: [NET_ADMIN]}} # for a large receive buffer
    env: [{name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
    volumeMounts: [{name: load, mountPath: /load}]
  volumes: [{name: load, hostPath: {path: %[5]s, type: File}}]
---
`
