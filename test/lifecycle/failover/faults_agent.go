package failover

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	memberNamespace = "tombolo-system"
	daemonSet       = "daemonset/tombolo-gateway"
	// agent is the command line of the gateway agent, as pgrep knows it.
	agent = "^/tombolo gateway"
)

// killAgent kills the agent. It heals by a new pod: a container that was killed often is restarted
// later and later.
func killAgent(ctx context.Context, s *Site, v victim) (heal func(context.Context) error, err error) {
	_, err = s.OnNode(ctx, v.node, "pkill", "-KILL", "-f", agent)
	return func(ctx context.Context) error {
		if err := s.startAPI(ctx); err != nil {
			return err
		}
		_, err := s.Kubectl(ctx, v.cluster, "--namespace", memberNamespace, "delete", "pod",
			"--selector", "app.kubernetes.io/name=tombolo-gateway", "--field-selector", "spec.nodeName="+v.node)
		return err
	}, err
}

// rollOut restarts the agents of the victim's cluster, one after the other.
func rollOut(ctx context.Context, s *Site, v victim) (heal func(context.Context) error, err error) {
	return s.rolled, s.roll(ctx, v.cluster, "rollout", "restart", daemonSet)
}

// upgrade gives the agents of the victim's cluster the next version's image.
func upgrade(ctx context.Context, s *Site, v victim) (heal func(context.Context) error, err error) {
	image := fmt.Sprintf("*=tombolo-net/tombolo:next-%d", time.Now().Unix())
	return s.rolled, s.roll(ctx, v.cluster, "set", "image", daemonSet, image)
}

// roll changes the DaemonSet and returns when all of its pods are new.
func (s *Site) roll(ctx context.Context, cluster string, change ...string) error {
	for _, args := range [][]string{change, {"rollout", "status", daemonSet, "--timeout=" + within.String()}} {
		if _, err := s.Kubectl(ctx, cluster, append([]string{"--namespace", memberNamespace}, args...)...); err != nil {
			return err
		}
	}
	return nil
}

// rolled heals nothing: what was rolled out stays.
func (s *Site) rolled(ctx context.Context) error { return s.Healthy(ctx) }

// eachAPIServer does something to all API servers at once.
func (s *Site) eachAPIServer(ctx context.Context, do func(ctx context.Context, cluster string) error) error {
	status, err := s.lab.Status(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, name := range status.Topology.APIServers() {
		g.Go(func() error { return do(ctx, name) })
	}
	return g.Wait()
}
