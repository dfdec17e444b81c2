package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/bench/guest"
	"github.com/tombolo-net/tombolo/test/harness/apiserver"
	"github.com/tombolo-net/tombolo/test/harness/scrape"
)

const (
	pagesAddress = "127.0.0.1:7475"
	// profileAddress is served if profiles are wanted.
	profileAddress = "127.0.0.1:7479"
	logFile        = "agent.log"
	// stopGrace is how long the agent may take to end.
	stopGrace = 10 * time.Second
)

// agent is `tombolo dataplane`, the real binary, and the API server that it reads from.
type agent struct {
	backend v1alpha1.DataplaneBackend
	program string
	// profiled is true if profiles are wanted.
	profiled bool
	dir      string

	api    *apiserver.Server
	server *http.Server
	cmd    *exec.Cmd
}

// surroundings are what the agent finds beside the services.
func surroundings(backend v1alpha1.DataplaneBackend) []runtime.Object {
	set := &v1alpha1.ClusterSet{
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName},
		Spec: v1alpha1.ClusterSetSpec{ClusterSetID: "bench", ClusterID: "west", VIPCIDRs: []v1alpha1.CIDR{vipCIDR},
			TransitCIDR: "245.0.0.0/8"},
		Status: v1alpha1.ClusterSetStatus{CIDRs: []v1alpha1.CIDR{"10.2.0.0/18"}, Conditions: []metav1.Condition{{
			Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted}}},
	}
	set.Spec.Dataplane.Backend = backend
	return []runtime.Object{node(), set,
		&v1alpha1.GatewayNode{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.DefaultNamespace, Name: nodeName},
			Spec:   v1alpha1.GatewayNodeSpec{NodeName: nodeName, UnderlayAddresses: []v1alpha1.IPAddress{nodeIP}},
			Status: v1alpha1.GatewayNodeStatus{Lane: ptr.To(v1alpha1.Lane(0))}},
		&v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: "east"},
			Spec: v1alpha1.RemoteClusterSpec{Index: 1, CIDRs: []v1alpha1.CIDR{remoteCIDR}}},
	}
}

func (a *agent) vip(index int) netip.Addr { return clusterSetIP(index) }

func (a *agent) put(all ...service) error {
	var objects []runtime.Object
	for _, s := range all {
		objects = append(objects, s.imported()...)
	}
	return a.api.Put(objects...)
}

func (a *agent) pid() int { return a.cmd.Process.Pid }

// pause: the agent takes the next change at once.
func (a *agent) pause() time.Duration { return 0 }

// start starts the agent among those services and waits until it is ready.
func (a *agent) start(ctx context.Context, all []service) error {
	var err error
	if a.api, err = apiserver.Dataplane(); err != nil {
		return err
	}
	if err := errors.Join(a.api.Put(surroundings(a.backend)...), a.put(all...)); err != nil {
		return err
	}
	kubeconfig := filepath.Join(a.dir, "kubeconfig")
	if a.server, err = a.api.Listen(nil, kubeconfig); err != nil {
		return err
	}
	if err := a.run(kubeconfig); err != nil {
		return err
	}
	return a.waitReady(ctx)
}

func (a *agent) run(kubeconfig string) error {
	log, err := os.Create(filepath.Join(a.dir, logFile))
	if err != nil {
		return err
	}
	defer log.Close() // the process has it then
	a.cmd = exec.Command(a.program, "dataplane", "--node-name", nodeName, "--listen-address", pagesAddress)
	if a.profiled {
		a.cmd.Args = append(a.cmd.Args, "--profile-address", profileAddress)
	}
	a.cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	a.cmd.Stdout, a.cmd.Stderr = log, log
	if err := a.cmd.Start(); err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	return nil
}

// waitReady returns when the agent says that the kernel is in step.
func (a *agent) waitReady(ctx context.Context) error {
	err := guest.Eventually(ctx, patience, readyInterval, func() error {
		_, err := get(ctx, pagesAddress, "/readyz")
		return err
	})
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(a.dir, logFile)) // all the more to be said
		return fmt.Errorf("waiting for the agent: %w: %s", err, log)
	}
	return nil
}

// known is when the agent first asked for services or endpoints.
func (a *agent) known() time.Time {
	first := a.api.Asked("ServiceImport")
	if slices := a.api.Asked("EndpointSlice"); slices.Before(first) {
		first = slices
	}
	return first
}

func (a *agent) spent(ctx context.Context) (time.Duration, error) {
	return histogramSum(ctx, pagesAddress, "tombolo_dataplane_pass_duration_seconds")
}

func (a *agent) stop() error {
	var err error
	if a.cmd != nil && a.cmd.Process != nil {
		stuck := time.AfterFunc(stopGrace, func() { _ = a.cmd.Process.Kill() })
		err = a.cmd.Process.Signal(syscall.SIGTERM)
		_ = a.cmd.Wait() // its log says why
		stuck.Stop()
	}
	if a.server != nil {
		err = errors.Join(err, a.server.Close())
	}
	return err
}

// profile saves one of the agent's profiles to a file.
func (a *agent) profile(ctx context.Context, what, file string) error {
	data, err := get(ctx, profileAddress, "/debug/pprof/"+what)
	if err != nil {
		return fmt.Errorf("taking profile %s of the agent: %w", what, err)
	}
	return os.WriteFile(file, data, 0o644)
}

// serves reports whether the agent says that it serves so many endpoints, and that the kernel is in
// step.
func (a *agent) serves(ctx context.Context, endpoints int) error {
	all, err := named(ctx, pagesAddress, "tombolo_dataplane_destinations")
	if err != nil {
		return err
	}
	if n := int(all[0].GetGauge().GetValue()); n != endpoints {
		return fmt.Errorf("the agent serves %d endpoints, want %d", n, endpoints)
	}
	_, err = get(ctx, pagesAddress, "/readyz")
	return err
}

// histogramSum is the sum of all that a histogram of seconds has seen, whatever its labels.
func histogramSum(ctx context.Context, address, name string) (time.Duration, error) {
	all, err := named(ctx, address, name)
	sum := 0.0
	for _, m := range all {
		sum += m.GetHistogram().GetSampleSum()
	}
	return time.Duration(sum * float64(time.Second)), err
}

// named are the metrics of that name, one for each set of labels, at least one.
func named(ctx context.Context, address, name string) ([]*dto.Metric, error) {
	page, err := get(ctx, address, "/metrics")
	if err != nil {
		return nil, fmt.Errorf("reading the metrics at %s: %w", address, err)
	}
	all, err := scrape.Metrics(page, name)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("the metrics at %s have no %s", address, name)
	}
	return all, err
}

// get is a page in the node's namespace.
func get(ctx context.Context, address, path string) ([]byte, error) {
	return scrape.Get(ctx, http.DefaultClient, "http://"+address+path)
}
