package exchange

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

var errAsked = errors.New("the API server's cache was asked")

// askedCache is the API server's cache; it only says that it was asked.
type askedCache struct{ cache.Cache }

func (askedCache) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errAsked
}

// Of the ClusterSet and the Secret a member has its own; whatever else it asks for comes from the
// API server.
func TestOwnCache(t *testing.T) {
	m := crowdMembers(2)[0]
	own := &ownCache{
		Cache: askedCache{}, set: m.clusterSet("https://hub"),
		secret: &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.DefaultNamespace, Name: secretName}},
	}
	for _, test := range []struct {
		name string
		key  client.ObjectKey
		into client.Object
		want func(error) bool
	}{
		{"its ClusterSet", client.ObjectKey{Name: v1alpha1.ClusterSetName}, &v1alpha1.ClusterSet{}, isNil},
		{"another ClusterSet", client.ObjectKey{Name: "other"}, &v1alpha1.ClusterSet{}, apierrors.IsNotFound},
		{"its Secret", client.ObjectKeyFromObject(own.secret), &corev1.Secret{}, isNil},
		{"another Secret", client.ObjectKey{Namespace: m.namespace, Name: secretName}, &corev1.Secret{}, apierrors.IsNotFound},
		{"its export", client.ObjectKey{Namespace: m.namespace, Name: "web"}, &mcsv1beta1.ServiceExport{}, isAsked},
		{"what has no namespace", client.ObjectKey{Name: "m002"}, &v1alpha1.RemoteCluster{}, isAsked},
	} {
		if err := own.Get(t.Context(), test.key, test.into); !test.want(err) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func isNil(err error) bool   { return err == nil }
func isAsked(err error) bool { return errors.Is(err, errAsked) }
