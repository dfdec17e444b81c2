package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// ControlPlane is a set of control planes that run. It is safe for concurrent use.
type ControlPlane struct {
	config   Config
	spawner  *spawner
	etcd     *process
	egress   *egress
	clusters []*Cluster
	ownDir   bool

	stopOnce sync.Once
	stopErr  error
}

// Start starts the control planes and returns once every API server is ready; its controllers may
// still be starting. The caller calls Stop. Should the caller be killed, they end too.
func Start(ctx context.Context, config Config) (_ *ControlPlane, err error) {
	config, err = config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("configuring control planes: %w", err)
	}
	cp := &ControlPlane{config: config, spawner: newSpawner()}
	defer func() {
		if err != nil {
			cp.ownDir = false // its logs say why
			err = errors.Join(fmt.Errorf("starting control planes in %s: %w", cp.config.Dir, err), cp.Stop())
		}
	}()
	if err := cp.prepareDir(); err != nil {
		return nil, err
	}
	if cp.config.DialNode != nil {
		if cp.egress, err = startEgress(cp.config.Dir, cp.config.DialNode); err != nil {
			return nil, err
		}
	}
	if cp.etcd, err = startEtcd(ctx, cp.spawner, cp.config.Bin, cp.config.Dir); err != nil {
		return nil, err
	}
	if err := cp.startClusters(ctx); err != nil {
		return nil, err
	}
	return cp, cp.writeKubeconfigs()
}

func (cp *ControlPlane) prepareDir() error {
	var err error
	if cp.config.Dir == "" {
		cp.ownDir = true
		cp.config.Dir, err = os.MkdirTemp("", "tombolo-controlplane-")
	} else {
		cp.config.Dir, err = filepath.Abs(cp.config.Dir)
	}
	if err != nil {
		return fmt.Errorf("making folder: %w", err)
	}
	addresses := cp.config.HostAddresses
	if len(addresses) == 0 {
		addresses = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	for _, c := range cp.config.Clusters {
		dir := filepath.Join(cp.config.Dir, c.Name)
		cp.clusters = append(cp.clusters, &Cluster{config: c, dir: dir, addresses: addresses})
	}
	for _, dir := range append(cp.clusterDirs(), filepath.Join(cp.config.Dir, "logs")) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making folder: %w", err)
		}
	}
	return nil
}

func (cp *ControlPlane) clusterDirs() []string {
	dirs := make([]string, 0, len(cp.clusters))
	for _, c := range cp.clusters {
		dirs = append(dirs, c.dir)
	}
	return dirs
}

func (cp *ControlPlane) startClusters(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range cp.clusters {
		g.Go(func() error { return cp.startCluster(ctx, c) })
	}
	return g.Wait()
}

func (cp *ControlPlane) startCluster(ctx context.Context, c *Cluster) error {
	if err := c.startAPIServer(ctx, cp.spawner, cp.config); err != nil {
		return fmt.Errorf("starting API server of cluster %s: %w", c.Name(), err)
	}
	if len(c.config.Controllers) > 0 {
		if err := c.startControllers(cp.spawner, cp.config); err != nil {
			return fmt.Errorf("starting controllers of cluster %s: %w", c.Name(), err)
		}
	}
	if c.config.Scheduler {
		if err := c.startScheduler(cp.spawner, cp.config); err != nil {
			return fmt.Errorf("starting scheduler of cluster %s: %w", c.Name(), err)
		}
	}
	return nil
}

func (cp *ControlPlane) writeKubeconfigs() error {
	all := make([]access, 0, len(cp.clusters))
	for _, c := range cp.clusters {
		all = append(all, c.adminAccess())
		if err := writeKubeconfig(c.Kubeconfig(), c.adminAccess()); err != nil {
			return err
		}
	}
	return writeKubeconfig(cp.Kubeconfig(), all...)
}

// Dir returns the folder with the control planes' files; their logs are in its folder logs.
func (cp *ControlPlane) Dir() string { return cp.config.Dir }

// Kubeconfig returns the path of the administrator's kubeconfig, with a context named after each
// cluster.
func (cp *ControlPlane) Kubeconfig() string { return filepath.Join(cp.config.Dir, "kubeconfig") }

// Clusters returns the clusters in the order they were given. The slice is the caller's.
func (cp *ControlPlane) Clusters() []*Cluster { return append([]*Cluster(nil), cp.clusters...) }

// Cluster returns the cluster of this name, nil if there is none.
func (cp *ControlPlane) Cluster(name string) *Cluster {
	for _, c := range cp.clusters {
		if c.Name() == name {
			return c
		}
	}
	return nil
}

// etcdGrace is how long etcd may take to end. Its data is of no use after that.
const etcdGrace = time.Second

// Stop ends everything, etcd after the API servers, which otherwise hang; and removes the folder if
// Start made it. It may be called more than once.
func (cp *ControlPlane) Stop() error {
	cp.stopOnce.Do(func() {
		var g sync.WaitGroup
		for _, c := range cp.clusters {
			g.Go(c.stop)
		}
		g.Wait()
		cp.egress.close()
		cp.etcd.stop(etcdGrace)
		cp.spawner.close()
		if cp.ownDir {
			cp.stopErr = os.RemoveAll(cp.config.Dir)
		}
	})
	return cp.stopErr
}
