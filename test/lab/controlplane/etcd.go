package controlplane

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
)

// etcd's sockets, in the run folder. All that speak to it run in that folder: a relative path stays
// within the 107 bytes that an address of this kind may have (unix(7)). etcd wants something like a
// port in it.
const (
	etcdSocket     = "etcd:0"
	etcdPeerSocket = "etcd-peer:0"
)

// etcdPeerURL is never spoken to: there is one member. Its flags want a host and port.
const etcdPeerURL = "http://localhost:1"

// startEtcd starts one member, without fsync (its data does not outlive the lab) and on sockets
// only, so that nobody else on this machine reads it.
func startEtcd(ctx context.Context, s *spawner, bin, dir string) (*process, error) {
	p, err := s.start("etcd", dir, logFile(dir, "etcd"), filepath.Join(bin, "etcd"),
		"--name=lab",
		"--data-dir=etcd-data",
		"--listen-client-urls=unix://"+etcdSocket,
		"--advertise-client-urls="+etcdPeerURL,
		"--listen-peer-urls=unix://"+etcdPeerSocket,
		"--initial-advertise-peer-urls="+etcdPeerURL,
		"--initial-cluster=lab="+etcdPeerURL,
		"--unsafe-no-fsync",
		"--log-level=warn",
	)
	if err != nil {
		return nil, err
	}
	err = p.waitReady(ctx, func(ctx context.Context) error {
		conn, err := dialIn(ctx, dir, etcdSocket)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil {
		p.stop(0)
		return nil, fmt.Errorf("starting etcd: %w", err)
	}
	return p, nil
}

// dialIn connects to the unix socket name in the folder dir, however long the folder's path is.
func dialIn(ctx context.Context, dir, name string) (net.Conn, error) {
	path, closeDir, err := shortPath(dir, name)
	if err != nil {
		return nil, err
	}
	defer closeDir()
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}
