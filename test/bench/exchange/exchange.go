// Package exchange measures the exchange through the hub without nodes: real API servers, a crowd
// of members that publish, and one member whose operator, the real binary, is what is measured. It
// judges nothing.
package exchange

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/bench/figures"
)

// What is measured by default.
const (
	DefaultMembers  = 50
	DefaultServices = 100
)

const (
	// timeout is how long a machine may take for any one step; it ends what hangs.
	timeout = 15 * time.Minute
	// calm is how long nothing is measured after much was written, so that it does not count as
	// idle.
	calm = 15 * time.Second
)

// Config is what is measured.
type Config struct {
	Members  int    // 2-254, the measured one included
	Services int    // of each member; at most 999
	Quick    bool   // watch for half as long
	NoCrowd  bool   // let the hub's administrator publish for the others: measures what one member that joins costs, only
	Profiles string // optional, a folder for profiles of the operator and of the crowd, and the API servers' metrics
}

// window is how long an operator is watched.
func (c Config) window() time.Duration {
	if c.Quick {
		return 30 * time.Second
	}
	return time.Minute
}

// Measure adds its figures, also those that were measured before an error.
func Measure(ctx context.Context, c Config, all *figures.List) error {
	ctrl.SetLogger(logr.Discard()) // what has no logger of its own is nothing to a benchmark
	if c.Members < 2 || c.Members > 254 || c.Services < 1 || c.Services > 999 {
		return fmt.Errorf("%d members of %d services: want 2-254 of 1-999", c.Members, c.Services)
	}
	if c.NoCrowd {
		return errors.Join(run(ctx, c, all, (*scene).joining, measured), run(ctx, c, all, (*scene).shared, measured))
	}
	return errors.Join(run(ctx, c, all, (*scene).distinct, crowdName, measured), run(ctx, c, all, (*scene).shared, measured))
}

// scene is one set of API servers and what runs beside them.
type scene struct {
	Config
	*servers
	figures  *figures.List
	others   []member // the crowd
	own      member   // the measured one
	imports  *observer
	operator *process
	mark     string // of this scene's profiles
}

// run measures one scene in fresh API servers, one for each name beside the hub's.
func run(ctx context.Context, c Config, all *figures.List, measure func(*scene, context.Context) error, names ...string) error {
	s, err := startServers(ctx, names...)
	if err != nil {
		return err
	}
	defer s.Stop() //nolint:errcheck // it is all thrown away
	sc := &scene{
		Config: c, servers: s, figures: all, others: crowdMembers(c.Members - 1),
		own: member{id: measured, index: c.Members, namespace: measured},
	}
	defer sc.end()
	for _, m := range append(sc.others, sc.own) {
		if err := s.approve(ctx, m); err != nil {
			return err
		}
	}
	return measure(sc, ctx)
}

func (s *scene) end() {
	if s.operator != nil {
		s.operator.stop()
	}
	if s.imports != nil {
		s.imports.close()
	}
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, "  "+format+"\n", args...) }

// distinct: every member exports Services of its own, by which the members' names differ. All
// publish, one more member joins, nothing happens for a while, and then much.
func (s *scene) distinct(ctx context.Context) error {
	s.mark = "distinct"
	crowdWay, err := newProxy(s.address(hubName))
	if err != nil {
		return err
	}
	defer crowdWay.close()
	ownWay, err := newProxy(s.address(hubName))
	if err != nil {
		return err
	}
	defer ownWay.close()
	if err := s.populate(ctx); err != nil {
		return err
	}
	crowd, err := s.fill(ctx, crowdWay.url())
	if err != nil {
		return err
	}
	defer crowd.end() //nolint:errcheck // what went wrong shows in what is measured
	exports := s.Members * s.Services
	if err := s.sync(ctx, ownWay.url(), exports, exports, "exchange_full_sync"); err != nil {
		return err
	}
	idle, err := s.watchIdle(ctx, crowdWay, ownWay)
	if err != nil {
		return err
	}
	if err := errors.Join(s.load(ctx, crowdWay, ownWay, idle), crowd.running()); err != nil {
		return err
	}
	_, peak, err := s.operator.memory()
	s.figures.Add("exchange_operator_peak_mb", peak/1e6, "MB")
	return errors.Join(err, s.profile(ctx, "heap?gc=1", "after"))
}

// populate makes the clusters' Services, exports and slices, before any operator runs.
func (s *scene) populate(ctx context.Context) error {
	own, others := []client.Object{namespaceNamed(s.own.namespace)}, []client.Object(nil)
	for _, m := range s.others {
		own = append(own, namespaceNamed(m.namespace))
		others = append(others, namespaceNamed(m.namespace))
	}
	if err := errors.Join(s.createAll(ctx, measured, own), s.createAll(ctx, crowdName, others)); err != nil {
		return err
	}
	own, others = nil, nil
	for n := range s.Services {
		own = append(own, s.own.exported(n)...)
		for _, m := range s.others {
			others = append(others, m.exported(n)...)
		}
	}
	start := time.Now()
	err := errors.Join(s.createAll(ctx, measured, own), s.createAll(ctx, crowdName, others))
	progress("%d objects made in %.1f s", len(own)+len(others), time.Since(start).Seconds())
	return err
}

// fill starts the crowd, and returns when all that it exports is on the hub.
func (s *scene) fill(ctx context.Context, hubURL string) (*crowd, error) {
	seen, err := s.observe(ctx, hubName, &v1alpha1.ExportedService{})
	if err != nil {
		return nil, err
	}
	defer seen.close()
	defer s.profileCrowd(ctx, "fill")()
	start := time.Now()
	crowd, err := startCrowd(ctx, s.servers, s.others, hubURL)
	if err != nil {
		return nil, err
	}
	exports := len(s.others) * s.Services
	if err := seen.waitFor(ctx, crowd.running, exports, exports); err != nil {
		return nil, errors.Join(err, crowd.end())
	}
	s.figures.Add("exchange_fill_s", time.Since(start).Seconds(), "s")
	progress("hub filled in %.1f s", time.Since(start).Seconds())
	return crowd, pause(ctx, calm)
}

// sync starts the operator of the measured member, which knows nothing, and measures until it has
// imported all.
func (s *scene) sync(ctx context.Context, hubURL string, imports, slices int, name string) (err error) {
	if s.imports, err = s.observe(ctx, measured, &mcsv1beta1.ServiceImport{}); err != nil {
		return err
	}
	if err := s.join(ctx, s.own, hubURL); err != nil {
		return err
	}
	start := time.Now()
	if s.operator, err = startOperator(ctx, filepath.Join(s.root, "bin", "tombolo"), s.Cluster(measured), s.Dir()); err != nil {
		return err
	}
	if s.Profiles != "" {
		go s.profile(ctx, "profile?seconds=60", "sync") //nolint:errcheck // it is said if it fails
	}
	if err := s.imports.waitFor(ctx, s.operator.running, imports, slices); err != nil {
		return err
	}
	took := time.Since(start).Seconds()
	cpu, err := s.operator.cpu()
	s.figures.Add(name+"_s", took, "s")
	s.figures.Add(name+"_operator_cpu_s", cpu.Seconds(), "s")
	progress("%s: %.1f s; the operator computed for %.1f s of them", name, took, cpu.Seconds())
	return errors.Join(err, s.profile(ctx, "allocs", "sync"))
}

// watchIdle measures the operator while nothing changes, and returns what is written and sent
// meanwhile.
func (s *scene) watchIdle(ctx context.Context, crowdWay, ownWay *proxy) (usage, error) {
	if err := pause(ctx, calm); err != nil {
		return usage{}, err
	}
	before, err := s.usage(ctx, crowdWay, ownWay)
	if err != nil {
		return usage{}, err
	}
	if err := pause(ctx, s.window()); err != nil {
		return usage{}, err
	}
	after, err := s.usage(ctx, crowdWay, ownWay)
	if err != nil {
		return usage{}, err
	}
	idle := after.minus(before)
	s.figures.Add("exchange_idle_cpu_percent", idle.cpuPercent(), "%")
	s.figures.Add("exchange_idle_operator_mb", after.memory/1e6, "MB")
	s.figures.Add("exchange_idle_hub_writes_per_s", idle.leases/idle.elapsed.Seconds(), "writes/s")
	s.figures.Add("exchange_idle_watch_bytes_per_s", idle.sent/idle.elapsed.Seconds(), "B/s")
	progress("idle: %.2f %% of a core, %.0f MB, %v writes but heartbeats", idle.cpuPercent(), after.memory/1e6, idle.writes)
	return idle, s.profile(ctx, "heap?gc=1", "idle")
}

// load measures the operator, and what it writes to the hub and reads from it, while many endpoints
// change elsewhere.
func (s *scene) load(ctx context.Context, crowdWay, ownWay *proxy, idle usage) error {
	before, err := s.usage(ctx, crowdWay, ownWay)
	if err != nil {
		return err
	}
	if s.Profiles != "" {
		go s.profile(ctx, "profile?seconds=20", "load") //nolint:errcheck // it is said if it fails
	}
	profiled := s.profileCrowd(ctx, "load")
	changes, err := s.change(ctx, s.others, s.Services, s.window(), s.imports)
	profiled()
	if err != nil {
		return err
	}
	busy, err := s.usage(ctx, crowdWay, ownWay)
	if err != nil {
		return err
	}
	s.figures.Add("exchange_load_changes_per_s", float64(changes)/busy.minus(before).elapsed.Seconds(), "changes/s")
	s.figures.Add("exchange_load_cpu_percent", busy.minus(before).cpuPercent(), "%")
	s.figures.Add("exchange_load_operator_mb", busy.memory/1e6, "MB")
	if err := pause(ctx, calm); err != nil { // so that what is still on its way is counted too
		return err
	}
	after, err := s.usage(ctx, crowdWay, ownWay)
	if err != nil {
		return err
	}
	loaded := after.minus(before)
	s.figures.Add("exchange_hub_writes_per_change", loaded.writes/float64(changes), "writes")
	s.figures.Add("exchange_hub_received_bytes_per_change", loaded.beyond(idle, usage.bytesReceived)/float64(changes), "B")
	s.figures.Add("exchange_watch_bytes_per_change", loaded.beyond(idle, usage.bytesSent)/float64(changes), "B")
	took, missing := s.imports.latencies()
	s.figures.AddTimes("exchange_propagation", took)
	s.figures.Add("exchange_propagation_missing_count", float64(missing), "changes")
	progress("%d changes: %d seen, p99 %v", changes, len(took), figures.Quantile(took, 0.99))
	return nil
}

// joining: as distinct, without a crowd that runs.
func (s *scene) joining(ctx context.Context) error {
	s.mark = "joining"
	namespaces := []string{s.own.namespace}
	for _, m := range s.others {
		namespaces = append(namespaces, m.namespace)
	}
	if err := s.publish(ctx, namespaces...); err != nil {
		return err
	}
	way, err := newProxy(s.address(hubName))
	if err != nil {
		return err
	}
	defer way.close()
	exports := s.Members * s.Services
	if err := s.sync(ctx, way.url(), exports, exports, "exchange_full_sync"); err != nil {
		return err
	}
	if _, err := s.watchIdle(ctx, way, way); err != nil {
		return err
	}
	_, peak, err := s.operator.memory()
	s.figures.Add("exchange_operator_peak_mb", peak/1e6, "MB")
	return err
}

// shared: all members export the same Services. What the crowd publishes is put on the hub by its
// administrator.
func (s *scene) shared(ctx context.Context) error {
	s.mark = "shared"
	const namespace = "shop"
	s.own.namespace = namespace
	for i := range s.others {
		s.others[i].namespace = namespace
	}
	if err := s.publish(ctx, namespace); err != nil {
		return err
	}
	return s.sync(ctx, s.Cluster(hubName).RESTConfig().Host, s.Services, s.Members*s.Services, "exchange_full_sync_shared")
}

// publish makes the measured member's namespaces and exports, and puts on the hub what the others
// would.
func (s *scene) publish(ctx context.Context, namespaces ...string) error {
	var made, own, hub []client.Object
	for _, n := range namespaces {
		made = append(made, namespaceNamed(n))
	}
	for n := range s.Services {
		own = append(own, s.own.exported(n)...)
		for _, m := range s.others {
			hub = append(hub, m.published(n)...)
		}
	}
	if err := s.createAll(ctx, measured, made); err != nil {
		return err
	}
	start := time.Now()
	err := errors.Join(s.createAll(ctx, measured, own), s.createAll(ctx, hubName, hub))
	progress("%d objects made in %.1f s", len(own)+len(hub), time.Since(start).Seconds())
	return err
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
