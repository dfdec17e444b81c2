package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/node"
)

// leaseTimeout bounds one renewal, so that one request that hangs does not cost the next ones.
const leaseTimeout = clusterset.GatewayLeaseRenewal

// newLeaseLoop returns the loop that renews the Lease. It is a loop of its own, so that a slow write
// elsewhere does not delay the heartbeat.
func (a *Agent) newLeaseLoop() *node.Loop {
	timing := node.Timing{
		Tick:    clusterset.GatewayLeaseRenewal,
		Backoff: node.Backoff{First: retryFirst, Last: clusterset.GatewayLeaseRenewal},
	}
	return node.NewLoop("lease", timing, func(ctx context.Context, now time.Time, _ node.Cause) error {
		return a.renewLease(ctx, now)
	})
}

// renewLease says that this gateway lives. It says so only while the tunnels loop does its work: a
// gateway that is stuck in a pass cannot move flows to another link.
func (a *Agent) renewLease(ctx context.Context, now time.Time) error {
	if err := a.Healthy(); err != nil {
		return fmt.Errorf("not renewing the Lease: %w", err)
	}
	if a.lastResult() == nil {
		return nil // it has just started: after a boot there are no tunnels yet
	}
	if !a.settled.Load() {
		a.tunnels.Mark() // a link that nobody answers on tells of itself by no event
	}
	g, err := get(ctx, a.cfg.Client, client.ObjectKey{Namespace: a.cfg.Namespace, Name: a.cfg.NodeName}, &v1alpha1.GatewayNode{})
	if err != nil || g == nil {
		return err // the status loop makes the GatewayNode
	}
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	want := leaseOf(g, now)
	if err := a.writeLease(ctx, want); err != nil {
		return fmt.Errorf("renewing Lease %s/%s: %w", want.Namespace, want.Name, err)
	}
	return nil
}

// writeLease needs no right to read Leases.
func (a *Agent) writeLease(ctx context.Context, want *coordinationv1.Lease) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"labels": want.Labels, "ownerReferences": want.OwnerReferences},
		"spec":     want.Spec,
	})
	if err != nil {
		return err
	}
	target := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: want.Namespace, Name: want.Name}}
	err = a.cfg.Client.Patch(ctx, target, client.RawPatch(types.MergePatchType, patch))
	if apierrors.IsNotFound(err) {
		return a.cfg.Client.Create(ctx, want)
	}
	return err
}

// leaseOf is the gateway's Lease. The garbage collector deletes it with the GatewayNode.
func leaseOf(g *v1alpha1.GatewayNode, now time.Time) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: g.Namespace,
			Name:      v1alpha1.GatewayLeasePrefix + g.Name,
			Labels:    map[string]string{v1alpha1.LabelGateway: "true"},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.GroupVersion.String(), Kind: "GatewayNode", Name: g.Name, UID: g.UID,
			}},
		},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity:       ptr.To(g.Name),
			LeaseDurationSeconds: ptr.To(int32(clusterset.GatewayLeaseDuration / time.Second)),
			RenewTime:            &metav1.MicroTime{Time: now},
		},
	}
}
