package hub

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// access is all that is needed to reach the hub, except the token, which changes while we are
// connected. It is comparable: two that are equal reach the same hub as the same member.
type access struct {
	clusterSetID string
	cluster      v1alpha1.ClusterID
	identity     string // of this cluster, whatever ID it has: the UID of the namespace kube-system
	server       string
	namespace    string
	ca           string // PEM
}

// readAccess reads the access that the ClusterSet names, and the Secret with the token. If
// something is missing, a Status with a reason says what.
func readAccess(ctx context.Context, reader client.Reader, namespace string) (access, *corev1.Secret, Status, error) {
	set, err := optional.ClusterSet(ctx, reader)
	if err != nil {
		return access{}, nil, Status{}, err
	}
	if set == nil {
		return access{}, nil, Status{v1alpha1.ReasonPending, "there is no ClusterSet default: this cluster is in no clusterset"}, nil
	}
	key := client.ObjectKey{Namespace: namespace, Name: set.Spec.Hub.SecretRef.Name}
	if key.Name != v1alpha1.HubSecret {
		return access{}, nil, Status{v1alpha1.ReasonSecretNotFound, fmt.Sprintf(
			"Secret %s (ClusterSet.spec.hub.secretRef): the operator may read no Secret but %s: give it that name, and name it in the ClusterSet",
			key, v1alpha1.HubSecret)}, nil
	}
	secret, err := optional.Get[corev1.Secret](ctx, reader, key)
	if err != nil {
		return access{}, nil, Status{}, err
	}
	if secret == nil {
		return access{}, nil, secretLacks(key, "does not exist", set), nil
	}
	for _, k := range []string{tokenKey, caKey, namespaceKey} {
		if len(secret.Data[k]) == 0 {
			return access{}, nil, secretLacks(key, "has no key "+k, set), nil
		}
	}
	system := &corev1.Namespace{}
	if err := reader.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, system); err != nil {
		return access{}, nil, Status{}, fmt.Errorf("reading the UID of namespace %s: %w", metav1.NamespaceSystem, err)
	}
	return access{
		clusterSetID: set.Spec.ClusterSetID,
		cluster:      set.Spec.ClusterID,
		identity:     string(system.UID),
		server:       set.Spec.Hub.Server,
		namespace:    strings.TrimSpace(string(secret.Data[namespaceKey])),
		ca:           string(secret.Data[caKey]),
	}, secret, Status{}, nil
}

func secretLacks(secret client.ObjectKey, what string, set *v1alpha1.ClusterSet) Status {
	return Status{v1alpha1.ReasonSecretNotFound, fmt.Sprintf(
		"Secret %s (ClusterSet.spec.hub.secretRef) %s: give it the keys token, ca.crt and namespace, with a token of ServiceAccount %s on the hub",
		secret, what, clusterset.MemberServiceAccount(set.Spec.ClusterID))}
}
