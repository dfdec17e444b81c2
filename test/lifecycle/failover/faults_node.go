package failover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// powerOff pulls the node's plug.
func powerOff(ctx context.Context, s *Site, v victim) (heal func(context.Context) error, err error) {
	return func(ctx context.Context) error { return s.boot(ctx, v) }, s.lab.Kill(ctx, v.node)
}

func freeze(ctx context.Context, s *Site, v victim) (heal func(context.Context) error, err error) {
	return func(ctx context.Context) error { return s.lab.Resume(ctx, v.node) }, s.lab.Pause(ctx, v.node)
}

// boot starts the node again and returns when its agent runs. The clusters' API servers have to run
// for that.
func (s *Site) boot(ctx context.Context, v victim) error {
	if err := s.startAPI(ctx); err != nil {
		return err
	}
	if err := s.lab.Start(ctx, v.node); err != nil {
		return err
	}
	_, err := shell.Eventually(ctx, within, func(ctx context.Context) (string, error) {
		return s.OnNode(ctx, v.node, "pgrep", "-f", agent)
	})
	return err
}

// reboot pulls the plug and boots the node.
func (s *Site) reboot(ctx context.Context, v victim) error {
	return errors.Join(s.lab.Kill(ctx, v.node), s.boot(ctx, v))
}

// noticed is how long a drained node stays before it goes: others have to leave it before.
const noticed = 5 * time.Second

// drain drains the node as an administrator does, and then it reboots.
func drain(ctx context.Context, s *Site, v victim) (heal func(context.Context) error, err error) {
	_, err = s.Kubectl(ctx, v.cluster, "drain", v.node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=120s")
	if err != nil {
		return nil, err
	}
	sleep(ctx, noticed)
	return func(ctx context.Context) error {
		_, err := s.Kubectl(ctx, v.cluster, "uncordon", v.node)
		return errors.Join(err, s.Healthy(ctx))
	}, s.reboot(ctx, v)
}

// taint marks the node as the cluster autoscaler does before it removes one, and then it reboots.
func taint(ctx context.Context, s *Site, v victim) (heal func(context.Context) error, err error) {
	const key = "ToBeDeletedByClusterAutoscaler"
	if _, err := s.Kubectl(ctx, v.cluster, "taint", "node", v.node, fmt.Sprintf("%s=%d:NoSchedule", key, time.Now().Unix())); err != nil {
		return nil, err
	}
	sleep(ctx, noticed)
	return func(ctx context.Context) error {
		_, err := s.Kubectl(ctx, v.cluster, "taint", "node", v.node, key+"-")
		return errors.Join(err, s.Healthy(ctx))
	}, s.reboot(ctx, v)
}

// moveLabel makes another node a gateway, and the victim none.
func moveLabel(ctx context.Context, s *Site, v victim) (heal func(context.Context) error, err error) {
	others, err := s.Nodes(ctx, v.cluster, "!"+gatewayLabel)
	if err != nil {
		return nil, err
	}
	heir := others[len(others)-1]
	move := func(ctx context.Context, from, to string) error {
		if err := s.label(ctx, v.cluster, to, true); err != nil {
			return err
		}
		return errors.Join(s.label(ctx, v.cluster, from, false), s.Healthy(ctx))
	}
	return func(ctx context.Context) error { return move(ctx, heir, v.node) }, move(ctx, v.node, heir)
}

// label makes the node a gateway, or none.
func (s *Site) label(ctx context.Context, cluster, node string, gateway bool) error {
	value := gatewayLabel + "-"
	if gateway {
		value = gatewayLabel + "=true"
	}
	_, err := s.Kubectl(ctx, cluster, "label", "node", node, value, "--overwrite")
	return err
}

// leaveOne takes the label from all gateways of the cluster but the first, and returns what gives it
// back.
func (s *Site) leaveOne(ctx context.Context, cluster string) (restore func(context.Context) error, err error) {
	gateways, err := s.Nodes(ctx, cluster, gatewayLabel+"=true")
	if err != nil {
		return func(context.Context) error { return nil }, err
	}
	for _, g := range gateways[1:] {
		err = errors.Join(err, s.label(ctx, cluster, g, false))
	}
	return func(ctx context.Context) (err error) {
		for _, g := range gateways[1:] {
			err = errors.Join(err, s.label(ctx, cluster, g, true))
		}
		return err
	}, errors.Join(err, s.Healthy(ctx))
}

// OneGatewayEach leaves each cluster one gateway, and returns what gives it back the others. Both
// return when the clusters are whole.
func (s *Site) OneGatewayEach(ctx context.Context) (restore func(context.Context) error, err error) {
	east, errEast := s.leaveOne(ctx, exporter)
	west, errWest := s.leaveOne(ctx, importer)
	return func(ctx context.Context) error {
		return errors.Join(east(ctx), west(ctx), s.Healthy(ctx))
	}, errors.Join(errEast, errWest)
}

// rebootAlone pulls the node's plug and boots it at once.
func rebootAlone(ctx context.Context, s *Site, v victim) (heal func(context.Context) error, err error) {
	return func(ctx context.Context) error { return s.boot(ctx, v) }, s.lab.Kill(ctx, v.node)
}
