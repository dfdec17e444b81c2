package gatewaylife

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
)

// removeKey removes the key of a gateway that is gone together with its node. A node that only lost
// the label keeps its key: it has the same one when it becomes a gateway again.
func (r *Reconciler) removeKey(ctx context.Context, name string, node *corev1.Node) error {
	if node != nil {
		return nil
	}
	secret, err := optional.Get[corev1.Secret](ctx, r.Client, client.ObjectKey{Namespace: r.Namespace, Name: v1alpha1.GatewayKeysSecret})
	if err != nil || secret == nil {
		return err
	}
	if _, has := secret.Data[name]; !has {
		return nil
	}
	// If a new node of that name writes a key now, the version differs, and the patch is refused.
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]string{"resourceVersion": secret.ResourceVersion},
		"data":     map[string]any{name: nil},
	})
	if err != nil {
		return fmt.Errorf("encoding patch of Secret %s: %w", v1alpha1.GatewayKeysSecret, err)
	}
	target := secret.DeepCopy()
	if err := r.Client.Patch(ctx, target, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("removing the key of %s from Secret %s: %w", name, v1alpha1.GatewayKeysSecret, err)
	}
	logf.FromContext(ctx).Info("removed the key of a gateway that is gone", "node", name)
	return nil
}
