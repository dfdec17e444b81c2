package gatewaylife

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
)

// lookAtKeys is how often the operator reads the Secret with the keys of older versions, if there is
// one. It does not watch it: it may read no other Secret, and this one is soon gone.
const lookAtKeys = 10 * time.Second

// oldKeys is what is known of the Secret.
type oldKeys struct {
	// gone is true once there is none. Only an older version makes it again, and that one comes with
	// an operator of its own.
	gone bool
	// next is when to look again.
	next time.Time
}

// tidyKeys removes from the Secret the keys of nodes that are no gateways, since nobody else does.
// Each gateway of this version takes its own key out. The last one leaves the Secret empty, and marked
// for being deleted here.
func (r *Reconciler) tidyKeys(ctx context.Context) error {
	now := r.Now()
	if r.keys.gone || now.Before(r.keys.next) {
		return nil
	}
	r.keys.next = now.Add(lookAtKeys)
	secret, err := optional.Get[corev1.Secret](ctx, r.Direct, client.ObjectKey{Namespace: r.Namespace, Name: v1alpha1.GatewayKeysSecret})
	if err != nil {
		return err
	}
	if r.keys.gone = secret == nil; r.keys.gone {
		return nil
	}
	if err := r.removeKeys(ctx, secret); err != nil {
		return err
	}
	if len(secret.Data) > 0 || secret.Annotations[v1alpha1.AnnotationKeysMoved] != "true" {
		return nil
	}
	if err := r.Client.Delete(ctx, secret, client.Preconditions{UID: &secret.UID, ResourceVersion: &secret.ResourceVersion}); err != nil {
		return fmt.Errorf("deleting the empty Secret %s: %w", v1alpha1.GatewayKeysSecret, err)
	}
	logf.FromContext(ctx).Info("all gateways keep their keys on their nodes; deleted the Secret of older versions", "secret", secret.Name)
	return nil
}

// removeKeys removes the keys of nodes that are no gateways, and makes secret what it is then.
func (r *Reconciler) removeKeys(ctx context.Context, secret *corev1.Secret) error {
	unneeded := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(secret.Data)) {
		needed, err := r.isGateway(ctx, name)
		if err != nil {
			return err
		}
		if !needed {
			unneeded[name] = nil
		}
	}
	if len(unneeded) == 0 {
		return nil
	}
	// If a gateway writes its key now, the version differs, and the patch is refused.
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]string{"resourceVersion": secret.ResourceVersion},
		"data":     unneeded,
	})
	if err != nil {
		return fmt.Errorf("encoding patch of Secret %s: %w", v1alpha1.GatewayKeysSecret, err)
	}
	if err := r.Client.Patch(ctx, secret, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("removing keys from Secret %s: %w", v1alpha1.GatewayKeysSecret, err)
	}
	logf.FromContext(ctx).Info("removed the keys of nodes that are no gateways", "nodes", slices.Sorted(maps.Keys(unneeded)))
	return nil
}

// isGateway is true if there is a GatewayNode of that name, or a Node with the label.
func (r *Reconciler) isGateway(ctx context.Context, name string) (bool, error) {
	gateway, err := optional.Get[v1alpha1.GatewayNode](ctx, r.Client, client.ObjectKey{Namespace: r.Namespace, Name: name})
	if err != nil || gateway != nil {
		return gateway != nil, err
	}
	node, err := r.node(ctx, name)
	return node != nil && node.Labels[v1alpha1.LabelGateway] == "true", err
}
