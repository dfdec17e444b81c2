package gatewaylife

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

const (
	// keepUnlabelled is how long a GatewayNode stays at most after its node lost the label.
	keepUnlabelled = time.Minute
	// keepReplaced is how long it stays after other gateways can do its work: remote clusters have to
	// learn of them, and flows to move.
	keepReplaced = 8 * time.Second
	// glance is how often one looks whether others can do the work.
	glance = time.Second
)

// end says why the GatewayNode is to be deleted; empty: it stays, and the result says when to look
// again.
func (r *Reconciler) end(ctx context.Context, gateway *v1alpha1.GatewayNode, node *corev1.Node, seen *sightings) (string, time.Duration, error) {
	switch {
	case node == nil:
		return fmt.Sprintf("node %s is gone", gateway.Name), 0, nil
	case node.Labels[v1alpha1.LabelGateway] == "true":
		seen.unlabelled, seen.replaced = time.Time{}, time.Time{}
		return "", 0, nil
	}
	replaced, err := r.replaced(ctx, gateway)
	if err != nil {
		return "", 0, err
	}
	if !seen.stays(replaced, r.Now()) {
		return fmt.Sprintf("node %s has no label %s=true any more", gateway.Name, v1alpha1.LabelGateway), 0, nil
	}
	return "", glance, nil
}

// stays tells whether the GatewayNode of a node without the label still stays.
func (s *sightings) stays(replaced bool, now time.Time) bool {
	if s.unlabelled.IsZero() {
		s.unlabelled = now
	}
	switch {
	case !replaced:
		s.replaced = time.Time{}
	case s.replaced.IsZero():
		s.replaced = now
	}
	return now.Sub(s.unlabelled) < keepUnlabelled && (s.replaced.IsZero() || now.Sub(s.replaced) < keepReplaced)
}

// replaced tells whether other gateways can do the gateway's work.
func (r *Reconciler) replaced(ctx context.Context, gateway *v1alpha1.GatewayNode) (bool, error) {
	gateways := &v1alpha1.GatewayNodeList{}
	if err := r.Client.List(ctx, gateways, client.InNamespace(r.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("listing GatewayNodes: %w", err)
	}
	remotes := &v1alpha1.RemoteClusterList{}
	if err := r.Client.List(ctx, remotes, client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("listing RemoteClusters: %w", err)
	}
	return canReplace(gateway.Name, gateways.Items, remotes.Items), nil
}

// canReplace tells whether there are other gateways that work, and that have a link up to each
// cluster to which the gateway said it had one.
func canReplace(gateway string, all []v1alpha1.GatewayNode, remotes []v1alpha1.RemoteCluster) bool {
	others := clusterset.LiveGateways{}
	for i := range all {
		g := &all[i]
		if g.Name != gateway && g.DeletionTimestamp == nil && g.Status.Lane != nil && clusterset.HasHeartbeat(g) && !clusterset.IsDraining(g) &&
			meta.IsStatusConditionTrue(g.Status.Conditions, v1alpha1.ConditionReady) {
			others[g.Name] = true
		}
	}
	for i := range remotes {
		if clusterset.LinksOf(&remotes[i], clusterset.LiveGateways{gateway: true}).Up > 0 && clusterset.LinksOf(&remotes[i], others).Up == 0 {
			return false
		}
	}
	return len(others) > 0
}
