package hub

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Keys of the Secret with the access to the hub. A service account token Secret has the same keys.
const (
	tokenKey     = corev1.ServiceAccountTokenKey
	caKey        = corev1.ServiceAccountRootCAKey
	namespaceKey = corev1.ServiceAccountNamespaceKey
)

// access is all that is needed to reach the hub. It is comparable: two that are equal reach the
// same hub as the same member. Never print it: it holds the token.
type access struct {
	clusterSetID string
	cluster      v1alpha1.ClusterID
	server       string
	namespace    string
	token        string
	ca           string // PEM
}

// readAccess reads the access that the ClusterSet names. If something is missing, a Status with a
// reason says what.
func readAccess(ctx context.Context, reader client.Reader, namespace string) (access, Status, error) {
	set, err := optional.ClusterSet(ctx, reader)
	if err != nil {
		return access{}, Status{}, err
	}
	if set == nil {
		return access{}, Status{v1alpha1.ReasonPending, "there is no ClusterSet default: this cluster is in no clusterset"}, nil
	}
	key := client.ObjectKey{Namespace: namespace, Name: set.Spec.Hub.SecretRef.Name}
	secret, err := optional.Get[corev1.Secret](ctx, reader, key)
	if err != nil {
		return access{}, Status{}, err
	}
	if secret == nil {
		return access{}, secretLacks(key, "does not exist", set), nil
	}
	for _, k := range []string{tokenKey, caKey, namespaceKey} {
		if len(secret.Data[k]) == 0 {
			return access{}, secretLacks(key, "has no key "+k, set), nil
		}
	}
	return access{
		clusterSetID: set.Spec.ClusterSetID,
		cluster:      set.Spec.ClusterID,
		server:       set.Spec.Hub.Server,
		namespace:    strings.TrimSpace(string(secret.Data[namespaceKey])),
		token:        strings.TrimSpace(string(secret.Data[tokenKey])),
		ca:           string(secret.Data[caKey]),
	}, Status{}, nil
}

func secretLacks(secret client.ObjectKey, what string, set *v1alpha1.ClusterSet) Status {
	return Status{v1alpha1.ReasonSecretNotFound, fmt.Sprintf(
		"Secret %s (ClusterSet.spec.hub.secretRef) %s: give it the keys token, ca.crt and namespace from the token Secret of ServiceAccount %s on the hub",
		secret, what, clusterset.MemberServiceAccount(set.Spec.ClusterID))}
}
