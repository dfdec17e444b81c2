package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/testbed"
	"github.com/tombolo-net/tombolo/internal/echo"
)

// reaction is how long each change of a failover may take.
const reaction = 30 * time.Second

// gateways drains one gateway of each site while all others ask its servers.
func gateways(ctx context.Context, b *testbed.Bed, r *results, say func(string)) error {
	for _, to := range b.Sites {
		say("draining a gateway of " + string(to.ID))
		began := time.Now()
		err := drained(ctx, b, to, r.patience)
		r.add("a gateway drains", "", string(to.ID), began, err)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func drained(ctx context.Context, b *testbed.Bed, to *testbed.Site, patience time.Duration) (err error) {
	var all v1alpha1.GatewayNodeList
	if err := to.List(ctx, &all); err != nil {
		return fmt.Errorf("reading GatewayNodes: %w", err)
	}
	live := 0
	for i := range all.Items {
		if meta.IsStatusConditionTrue(all.Items[i].Status.Conditions, v1alpha1.ConditionReady) {
			live++
		}
	}
	if live < 2 {
		return skip(fmt.Sprintf("cluster %s has %d ready gateways: it takes two", to.ID, live))
	}
	gateway := &all.Items[0]
	if err := drain(ctx, to, gateway.Spec.NodeName, `"true"`); err != nil {
		return err
	}
	defer func() { // also if the user ends the command
		after, stop := context.WithTimeout(context.WithoutCancel(ctx), reaction)
		defer stop()
		err = errors.Join(err, drain(after, to, gateway.Spec.NodeName, "null"), untilDraining(after, to, gateway, false))
	}()
	if err := untilDraining(ctx, to, gateway, true); err != nil {
		return err
	}
	for _, from := range b.Sites {
		if from == to {
			continue
		}
		reply, err := from.Ask(ctx, echo.Question{Network: "tcp", Host: b.Name(to.Ordinary()), Port: testbed.ServicePort, Count: count, Patience: patience})
		if err := cmp.Or(err, servedBy(reply, to.Servers)); err != nil {
			return fmt.Errorf("from cluster %s, while gateway %s drains: %w", from.ID, gateway.Name, err)
		}
	}
	return nil
}

func drain(ctx context.Context, s *testbed.Site, node, value string) error {
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%s}}}`, v1alpha1.AnnotationGatewayDrain, value))
	n := &corev1.Node{}
	n.Name = node
	if err := s.Patch(ctx, n, patch); err != nil {
		return fmt.Errorf("setting annotation %s of node %s: %w", v1alpha1.AnnotationGatewayDrain, node, err)
	}
	return nil
}

func untilDraining(ctx context.Context, s *testbed.Site, gateway *v1alpha1.GatewayNode, wanted bool) error {
	err := wait.PollUntilContextTimeout(ctx, 300*time.Millisecond, reaction, true, func(ctx context.Context) (bool, error) {
		if err := s.Get(ctx, client.ObjectKeyFromObject(gateway), gateway); err != nil {
			return false, err
		}
		return meta.IsStatusConditionTrue(gateway.Status.Conditions, v1alpha1.ConditionDraining) == wanted, nil
	})
	if err != nil {
		return fmt.Errorf("waiting until the condition %s of gateway %s is %t: %w", v1alpha1.ConditionDraining, gateway.Name, wanted, err)
	}
	return nil
}

// endpoints deletes the servers of the last site, and looks whether the others serve the Service that
// all export. It runs last: the site has no servers any more.
func endpoints(ctx context.Context, b *testbed.Bed, r *results, say func(string)) error {
	gone := b.Sites[len(b.Sites)-1]
	say("deleting the servers of " + string(gone.ID))
	for i := range gone.Servers {
		if err := gone.Delete(ctx, &gone.Servers[i]); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting pod %s of cluster %s: %w", gone.Servers[i].Name, gone.ID, err)
		}
	}
	for _, from := range b.Sites {
		say("asking the servers that are left from " + string(from.ID))
		began := time.Now()
		var last error
		err := wait.PollUntilContextTimeout(ctx, 300*time.Millisecond, reaction, true, func(ctx context.Context) (bool, error) {
			reply, err := from.Ask(ctx, echo.Question{Network: "tcp", Host: b.Name(testbed.Shared), Port: testbed.ServicePort, Count: 2 * count, Patience: r.patience})
			last = cmp.Or(err, answered(reply))
			return last == nil, nil
		})
		r.add("endpoints of a cluster go", string(from.ID), string(gone.ID), began, errors.Join(last, err))
	}
	return ctx.Err()
}
