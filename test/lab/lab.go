package lab

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"github.com/tombolo-net/tombolo/test/lab/controlplane"
	"github.com/tombolo-net/tombolo/test/lab/underlay"
)

// Lab is a lab that runs in this process. It is safe for concurrent use once Up has returned.
type Lab struct {
	options  Options
	dir      string
	lock     *os.File // of dir
	topology Topology
	token    string // of the nodes' control API
	progress *progress

	ctx    context.Context //nolint:containedctx // of everything that runs until Down
	cancel context.CancelFunc
	broken context.Context //nolint:containedctx // ends when a node's kernel ends by itself; its cause is the error
	fail   context.CancelCauseFunc
	tasks  sync.WaitGroup // goroutines that Down waits for

	underlay     *underlay.Switch
	host         *underlay.Host
	controlPlane *controlplane.ControlPlane
	registry     uint16 // its port on the host's loopback
	machines     []*machine
	control      *control
	ready        atomic.Bool

	downOnce sync.Once
	downErr  error
}

// Up starts a lab and returns when it is ready: every node is Ready, CoreDNS answers, and tombolo's
// links are up if the options say to install it. The caller calls Down. After an error nothing runs
// any longer, and the error names the folder with the logs. If ctx had ended, the folder is
// removed.
func Up(ctx context.Context, o Options) (*Lab, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("configuring lab: %w", err)
	}
	slow, err := CheckHost()
	if err != nil {
		return nil, err
	}
	l := &Lab{options: o, topology: topologyOf(o), progress: newProgress(o.Progress), token: rand.Text()}
	l.control = &control{lab: l}
	// Values of ctx only: what Up starts outlives it.
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	l.broken, l.fail = context.WithCancelCause(l.ctx)
	if err := l.makeDir(); err != nil {
		l.cancel()
		_ = os.Remove(l.dir) // if it is new, and so empty
		return nil, err
	}
	if slow != "" {
		l.progress.say("%s", slow)
	}
	watched, stop := l.Watch(ctx)
	defer stop()
	if err := l.up(watched); err != nil {
		if ctx.Err() != nil { // nobody asks why it did not start
			return nil, errors.Join(fmt.Errorf("starting lab: %w", context.Cause(ctx)), l.Down(false))
		}
		if broken := l.Broken(); broken != nil {
			err = broken // everything else came of it
		}
		err = fmt.Errorf("starting lab, logs are in %s: %w", l.dir, err)
		return nil, errors.Join(err, l.Down(true))
	}
	l.ready.Store(true)
	l.progress.say("ready: %s", l.dir)
	return l, nil
}

// Watch returns a context that ends when ctx does, and as soon as a node's kernel ends by itself,
// with Broken as its cause. The caller calls stop.
func (l *Lab) Watch(ctx context.Context) (watched context.Context, stop func()) {
	watched, cancel := context.WithCancelCause(ctx)
	unwatch := context.AfterFunc(l.broken, func() { cancel(context.Cause(l.broken)) })
	return watched, func() {
		unwatch()
		cancel(nil)
	}
}

// Broken returns how the first node's kernel has ended that ended by itself, with its console's
// last lines. It returns nil while there is none: a node that was killed does not count.
func (l *Lab) Broken() error {
	var failure *nodeError
	if errors.As(context.Cause(l.broken), &failure) {
		return failure
	}
	return nil
}

// nodeError says that a node's kernel has ended by itself.
type nodeError struct{ error }

func (e *nodeError) Unwrap() error { return e.error }

// nodeFailed says that a node's kernel has ended, and ends what is watched.
func (l *Lab) nodeFailed(err error) {
	l.progress.say("%v", err)
	l.fail(&nodeError{err})
}

// Status returns how the lab is.
func (l *Lab) Status() Status {
	s := Status{Dir: l.dir, Bin: l.options.Bin, Pid: os.Getpid(), Ready: l.ready.Load(), Topology: l.topology, Nodes: map[string]State{}}
	for _, m := range l.machines {
		s.Nodes[m.node.Name] = m.State()
	}
	return s
}

// Dir returns the run folder.
func (l *Lab) Dir() string { return l.dir }

// Bin returns the folder of the test binaries.
func (l *Lab) Bin() string { return l.options.Bin }

// Topology returns what the lab consists of.
func (l *Lab) Topology() Topology { return l.topology }

// Kubeconfig returns the path of the administrator's kubeconfig, with a context for each cluster
// and the hub.
func (l *Lab) Kubeconfig() string { return l.controlPlane.Kubeconfig() }

// Files of the run folder.
const (
	topologyFile  = "lab.json"
	controlSocket = "control"
)

// maxDir is how long the run folder's path may be, bytes: a socket's has 107 (unix(7)), and the
// longest one below is a kernel's, /nodes/north-east-1/uml/uml/mconsole.
const maxDir = 70

func (l *Lab) makeDir() (err error) {
	if l.options.Dir == "" {
		if l.dir, err = os.MkdirTemp("", "tombolo-lab-"); err != nil {
			return fmt.Errorf("making run folder: %w", err)
		}
	} else if l.dir, err = filepath.Abs(l.options.Dir); err != nil {
		return fmt.Errorf("making run folder: %w", err)
	}
	if len(l.dir) > maxDir {
		return fmt.Errorf("making run folder %s: its path has %d bytes, of at most %d that leave room for sockets in it; set TMPDIR to a shorter one", l.dir, len(l.dir), maxDir)
	}
	for _, name := range []string{"net", "logs"} {
		if err := os.MkdirAll(filepath.Join(l.dir, name), 0o755); err != nil {
			return fmt.Errorf("making run folder: %w", err)
		}
	}
	if l.lock, err = lock(l.dir); err != nil {
		return err
	}
	data, err := json.MarshalIndent(l.topology, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding topology: %w", err)
	}
	if err := os.WriteFile(filepath.Join(l.dir, topologyFile), data, 0o644); err != nil {
		return fmt.Errorf("writing topology: %w", err)
	}
	return nil
}

// up starts the parts in the order in which they need each other.
func (l *Lab) up(ctx context.Context) error {
	if err := l.startUnderlay(); err != nil {
		return err
	}
	if err := l.startRegistry(); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.warmImages(gctx) })
	g.Go(func() error { return l.startControlPlanes(gctx) })
	if err := g.Wait(); err != nil {
		return err
	}
	if err := l.prepareNodes(); err != nil {
		return err
	}
	if err := l.startControl(); err != nil {
		return err
	}
	for _, m := range l.machines {
		if err := m.start(l.ctx); err != nil {
			return err
		}
	}
	if err := l.waitReady(ctx); err != nil || l.options.Install == "" {
		return err
	}
	return l.install(ctx, l.options.Install)
}

// startUnderlay starts the switch, the way to the host, and a port for each node.
func (l *Lab) startUnderlay() (err error) {
	if err := l.logNetwork(); err != nil {
		return err
	}
	l.underlay = underlay.New()
	if l.host, err = underlay.NewHost(underlay.HostConfig{}); err != nil {
		return err
	}
	port, err := l.host.Attach(l.underlay)
	if err != nil {
		return err
	}
	l.serve(port)
	for _, n := range l.topology.Nodes() {
		port, err := l.underlay.Listen(n.Name, l.socket(n))
		if err != nil {
			return err
		}
		l.serve(port)
	}
	return nil
}

// logNetwork gives the library under the way to the host a log of its own. It has one logger for
// the process, which complains of each connection that a node refuses while it boots.
func (l *Lab) logNetwork() error {
	f, err := os.Create(filepath.Join(l.dir, "logs", "network.log"))
	if err != nil {
		return fmt.Errorf("making log of the host's network: %w", err)
	}
	logrus.SetOutput(f)
	context.AfterFunc(l.ctx, func() {
		logrus.SetOutput(io.Discard)
		_ = f.Close() // nothing in it is needed
	})
	return nil
}

// serve passes the port's frames until Down.
func (l *Lab) serve(port *underlay.Port) {
	l.tasks.Go(func() {
		if err := port.Serve(l.ctx); err != nil {
			l.progress.say("%v", err)
		}
	})
}

func (l *Lab) startControlPlanes(ctx context.Context) (err error) {
	done := l.progress.step("starting control planes", 5*time.Second, nil)
	defer func() { done(err) }()
	config := controlplane.Config{
		Dir:           l.dir,
		Bin:           l.options.Bin,
		HostAddresses: l.host.Loopbacks(),
		DialNode:      l.host.DialContext,
	}
	for _, c := range l.topology.Clusters {
		config.Clusters = append(config.Clusters, controlplane.ClusterConfig{
			Name: c.Name, PodCIDRs: c.PodCIDRs, ServiceCIDRs: c.ServiceCIDRs,
			Controllers: controlplane.AllControllers(), Scheduler: true,
		})
	}
	config.Clusters = append(config.Clusters, controlplane.ClusterConfig{Name: Hub, Controllers: controlplane.HubControllers()})
	l.controlPlane, err = controlplane.Start(ctx, config)
	return err
}

// prepareNodes writes every node's files.
func (l *Lab) prepareNodes() error {
	for _, c := range l.topology.Clusters {
		for _, n := range c.Nodes {
			m, err := l.machineOf(c, n)
			if err != nil {
				return err
			}
			if err := l.issue(m); err != nil {
				return err
			}
			l.machines = append(l.machines, m)
		}
	}
	return nil
}

// machine returns the machine of the node of this name, or ErrUnknownNode.
func (l *Lab) machine(name string) (*machine, error) {
	for _, m := range l.machines {
		if m.node.Name == name {
			return m, nil
		}
	}
	return nil, fmt.Errorf("node %q: %w", name, ErrUnknownNode)
}

// ErrUnknownNode is what an operation on a node ends with that the lab does not have.
var ErrUnknownNode = errors.New("no such node in this lab")

// ErrUnknownCluster is what an operation on an API server ends with that the lab does not have.
var ErrUnknownCluster = errors.New("no such cluster in this lab")

// Down ends everything that Up has started and returns when it is gone. The run folder goes too,
// unless keep: then its components' logs, the pods' too, and configuration stay. It may be called
// more than once.
func (l *Lab) Down(keep bool) error {
	l.downOnce.Do(func() {
		l.control.close()
		if keep && l.controlPlane != nil {
			if err := l.collect(l.ctx); err != nil {
				l.progress.say("%v", err) // what there is of logs has to do
			}
		}
		var nodes sync.WaitGroup
		for _, m := range l.machines {
			nodes.Go(m.kill)
		}
		nodes.Wait()
		if l.controlPlane != nil {
			l.downErr = l.controlPlane.Stop()
		}
		l.cancel()
		l.tasks.Wait()
		l.downErr = errors.Join(l.downErr, l.clear(keep), l.lock.Close())
	})
	return l.downErr
}

// clear removes the run folder. With keep it removes only what is of no use afterwards. The lock
// goes last, so that whoever waits for it finds nothing else.
func (l *Lab) clear(keep bool) error {
	names := []string{"etcd-data", "net"}
	if !keep {
		entries, err := os.ReadDir(l.dir)
		if err != nil {
			return fmt.Errorf("removing run folder: %w", err)
		}
		names = nil
		for _, e := range entries {
			if e.Name() != lockFile {
				names = append(names, e.Name())
			}
		}
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, os.RemoveAll(filepath.Join(l.dir, name)))
	}
	if !keep {
		errs = append(errs, os.RemoveAll(l.dir))
	}
	return errors.Join(errs...)
}
