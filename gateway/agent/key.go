package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

// errKey: the Secret is missing, or it holds something for this node that is not a key.
var errKey = errors.New("no private key")

// ensureKey returns this gateway's private key: the one in the Secret, else the one that a device
// of ours already uses, else a new one. A key that is not in the Secret yet is written there first.
func (a *Agent) ensureKey(ctx context.Context) (wireguard.PrivateKey, error) {
	var key wireguard.PrivateKey
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() (err error) {
		key, err = a.readOrAddKey(ctx)
		return err
	})
	return key, err
}

func (a *Agent) readOrAddKey(ctx context.Context) (wireguard.PrivateKey, error) {
	secret := &corev1.Secret{}
	err := a.cfg.Secrets.Get(ctx, client.ObjectKey{Namespace: a.cfg.Namespace, Name: v1alpha1.GatewayKeysSecret}, secret)
	if apierrors.IsNotFound(err) {
		return wireguard.PrivateKey{}, fmt.Errorf("%w: Secret %s/%s is missing; apply the manifests again, which make it",
			errKey, a.cfg.Namespace, v1alpha1.GatewayKeysSecret)
	}
	if err != nil {
		return wireguard.PrivateKey{}, fmt.Errorf("reading Secret %s/%s: %w", a.cfg.Namespace, v1alpha1.GatewayKeysSecret, err)
	}
	if text, ok := secret.Data[a.cfg.NodeName]; ok {
		key, err := wireguard.ParsePrivateKey(string(text))
		if err != nil {
			return key, fmt.Errorf("%w: %s in Secret %s/%s: %w; remove it there, and the gateway makes a new one",
				errKey, a.cfg.NodeName, a.cfg.Namespace, v1alpha1.GatewayKeysSecret, err)
		}
		return key, nil
	}
	key, err := a.keyInUse(ctx)
	if err != nil {
		return key, err
	}
	return key, a.addKey(ctx, secret, key)
}

// keyInUse returns the key of a device that an earlier run has left, else a new one. Peers know the
// old key, so their sessions go on.
func (a *Agent) keyInUse(ctx context.Context) (wireguard.PrivateKey, error) {
	state, err := a.cfg.Kernel.Tunnels.Read(ctx)
	if err != nil {
		return wireguard.PrivateKey{}, fmt.Errorf("looking for a key in use: %w", err)
	}
	for _, d := range state.Devices {
		if d.PrivateKey != (wireguard.PrivateKey{}) {
			return d.PrivateKey, nil
		}
	}
	return wireguard.GeneratePrivateKey()
}

// addKey adds the key under this node's name and touches no other key. If the Secret changed
// meanwhile, that is a conflict.
func (a *Agent) addKey(ctx context.Context, secret *corev1.Secret, key wireguard.PrivateKey) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]string{"resourceVersion": secret.ResourceVersion},
		"data":     map[string][]byte{a.cfg.NodeName: []byte(key.Text())},
	})
	if err != nil {
		return fmt.Errorf("encoding patch of Secret %s: %w", v1alpha1.GatewayKeysSecret, err)
	}
	target := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: secret.Namespace, Name: secret.Name}}
	if err := a.cfg.Client.Patch(ctx, target, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("adding the key of %s to Secret %s/%s: %w", a.cfg.NodeName, secret.Namespace, secret.Name, err)
	}
	return nil
}
