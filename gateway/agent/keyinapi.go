package agent

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

// keyInAPI is the private key that an older version has put into a Secret for this node.
type keyInAPI struct {
	// secret holds something under this node's name; nil: there is none, or it holds nothing.
	secret *corev1.Secret
	key    wireguard.PrivateKey
	// valid is false if that is no key.
	valid bool
}

// keyInAPI looks for it. A gateway that may not read the Secret has none there.
func (a *Agent) keyInAPI(ctx context.Context) (keyInAPI, error) {
	secret := &corev1.Secret{}
	err := a.cfg.Secrets.Get(ctx, client.ObjectKey{Namespace: a.cfg.Namespace, Name: v1alpha1.GatewayKeysSecret}, secret)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return keyInAPI{}, nil
	}
	if err != nil {
		return keyInAPI{}, fmt.Errorf("looking for a key of an older version in Secret %s/%s: %w", a.cfg.Namespace, v1alpha1.GatewayKeysSecret, err)
	}
	text, has := secret.Data[a.cfg.NodeName]
	if !has {
		return keyInAPI{}, nil
	}
	key, err := wireguard.ParsePrivateKey(string(text))
	return keyInAPI{secret: secret, key: key, valid: err == nil}, nil
}

// forgetInAPI removes this node's key from the Secret, and marks the Secret for the operator, which
// deletes it when it is empty. If the Secret changed meanwhile, that is a conflict.
func (a *Agent) forgetInAPI(ctx context.Context, old keyInAPI) error {
	if old.secret == nil {
		return nil
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{
			"resourceVersion": old.secret.ResourceVersion,
			"annotations":     map[string]string{v1alpha1.AnnotationKeysMoved: "true"},
		},
		"data": map[string]any{a.cfg.NodeName: nil},
	})
	if err != nil {
		return fmt.Errorf("encoding patch of Secret %s: %w", v1alpha1.GatewayKeysSecret, err)
	}
	if err := a.cfg.Client.Patch(ctx, old.secret.DeepCopy(), client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("removing the key of %s from Secret %s/%s: %w", a.cfg.NodeName, a.cfg.Namespace, v1alpha1.GatewayKeysSecret, err)
	}
	logr.FromContextOrDiscard(ctx).Info("private key removed from the API", "secret", v1alpha1.GatewayKeysSecret)
	return nil
}
