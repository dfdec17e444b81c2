package hub

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/connrotation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Keys of the Secret with the hub's access, those of a service account token Secret.
const (
	tokenKey     = corev1.ServiceAccountTokenKey
	caKey        = corev1.ServiceAccountRootCAKey
	namespaceKey = corev1.ServiceAccountNamespaceKey
)

// dialTimeout is how long a connection to the hub may take to be made.
const dialTimeout = 5 * time.Second

// access is all that is needed to reach the hub. It is comparable: two that are equal reach the same hub as the same
// member. It is never printed: it holds the token.
type access struct {
	clusterSetID string
	cluster      v1alpha1.ClusterID
	server       string
	namespace    string
	token        string
	ca           string // PEM
}

// readAccess reads the access that the ClusterSet names. A Status with a reason says what is missing.
func readAccess(ctx context.Context, reader client.Reader, namespace string) (access, Status, error) {
	set := &v1alpha1.ClusterSet{}
	if err := reader.Get(ctx, client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
		if apierrors.IsNotFound(err) {
			return access{}, Status{v1alpha1.ReasonPending, "there is no ClusterSet default: this cluster is in no clusterset"}, nil
		}
		return access{}, Status{}, fmt.Errorf("reading ClusterSet %s: %w", v1alpha1.ClusterSetName, err)
	}
	key := client.ObjectKey{Namespace: namespace, Name: set.Spec.Hub.SecretRef.Name}
	secret := &corev1.Secret{}
	if err := reader.Get(ctx, key, secret); err != nil && !apierrors.IsNotFound(err) {
		return access{}, Status{}, fmt.Errorf("reading Secret %s: %w", key, err)
	}
	for _, k := range []string{tokenKey, caKey, namespaceKey} {
		if len(secret.Data[k]) == 0 {
			return access{}, missingKey(key, k, secret.UID != "", set), nil
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

func missingKey(secret client.ObjectKey, key string, exists bool, set *v1alpha1.ClusterSet) Status {
	what := "does not exist"
	if exists {
		what = fmt.Sprintf("has no key %s", key)
	}
	return Status{v1alpha1.ReasonSecretNotFound, fmt.Sprintf(
		"Secret %s, which ClusterSet.spec.hub.secretRef names, %s: create it with the keys token, ca.crt and namespace of the token Secret of the hub's ServiceAccount %s",
		secret, what, clusterset.MemberServiceAccount(set.Spec.ClusterID))}
}

// way is a way to the hub: one HTTP client, whose connections can be dropped when they are suspected dead.
type way struct {
	config *rest.Config
	http   *http.Client
	dialer *connrotation.Dialer
	last   *atomic.Int64 // when the hub was last heard, in ns since 1970
}

// heardSince tells whether anything at all has come from the hub since then, over any connection: also half an answer.
func (w *way) heardSince(then time.Time) bool { return w.last.Load() > then.UnixNano() }

// heard is a connection that notes when something comes.
type heard struct {
	net.Conn
	last *atomic.Int64
}

// Read reads, and notes it.
func (c heard) Read(into []byte) (int, error) {
	n, err := c.Conn.Read(into)
	if n > 0 {
		c.last.Store(time.Now().UnixNano())
	}
	return n, err
}

// newWay prepares a way. redialed is called whenever a connection is made in place of one that was there before: watches
// that it carried have ended, which nobody else tells.
func newWay(a access, redialed func()) (*way, error) {
	var before atomic.Bool
	last := &atomic.Int64{}
	plain := &net.Dialer{Timeout: dialTimeout, KeepAlive: 10 * time.Second}
	dialer := connrotation.NewDialer(func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := plain.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if before.Swap(true) {
			redialed()
		}
		return heard{conn, last}, nil
	})
	config := &rest.Config{
		Host:            a.server,
		BearerToken:     a.token,
		TLSClientConfig: rest.TLSClientConfig{CAData: []byte(a.ca)},
		Dial:            dialer.DialContext,
		QPS:             -1, // the hub's own priority and fairness limits us
		UserAgent:       "tombolo-operator",
	}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("preparing the way to hub %s: %w", a.server, err)
	}
	return &way{config: config, http: httpClient, dialer: dialer, last: last}, nil
}
