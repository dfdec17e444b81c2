package failover

import (
	"context"

	"github.com/tombolo-net/tombolo/test/lab/underlay"
)

// all stands for every node.
const all = "*"

// wireGuardPorts are those of every lane.
var wireGuardPorts = underlay.PortRange{First: 51820, Last: 51883}

func cut(ctx context.Context, s *Site, v victim) (heal func(context.Context) error, err error) {
	return s.cut(ctx, v.node, all, underlay.Selection{})
}

func cutPorts(ctx context.Context, s *Site, v victim) (heal func(context.Context) error, err error) {
	return s.cut(ctx, v.node, all, underlay.Selection{Ports: wireGuardPorts})
}

func cutOneWay(ctx context.Context, s *Site, v victim) (heal func(context.Context) error, err error) {
	return s.cut(ctx, v.node, all, underlay.Selection{OneWay: true})
}

func cutRemote(ctx context.Context, s *Site, v victim) (heal func(context.Context) error, err error) {
	return s.cut(ctx, v.node, v.other, underlay.Selection{})
}

// cut cuts the node off from others, and heals that.
func (s *Site) cut(ctx context.Context, node, others string, which underlay.Selection) (heal func(context.Context) error, err error) {
	return func(ctx context.Context) error { return s.lab.Heal(ctx, node, others) }, s.lab.Cut(ctx, node, others, which)
}

// stopAPI stops every API server, and the hub's.
func (s *Site) stopAPI(ctx context.Context) error {
	return s.eachAPIServer(ctx, s.lab.StopAPIServer)
}

// startAPI starts the API servers that are stopped.
func (s *Site) startAPI(ctx context.Context) error {
	return s.eachAPIServer(ctx, s.lab.StartAPIServer)
}
