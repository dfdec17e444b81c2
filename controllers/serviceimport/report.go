package serviceimport

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/constituents"
)

// reasonNamespaceMissing is the reason of the event that says why something is not imported.
const reasonNamespaceMissing = "NamespaceMissing"

// reporter makes events of regarding (controller-runtime's recorder.EventRecorder).
type reporter interface {
	Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any)
}

// reports remembers which namespaces were reported missing, so that each is once. It is safe for concurrent use.
type reports struct {
	mu   sync.Mutex
	done map[string]bool // guarded by mu
}

// first tells whether the namespace has not been reported since it was last there.
func (r *reports) first(namespace string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done[namespace] {
		return false
	}
	if r.done == nil {
		r.done = map[string]bool{}
	}
	r.done[namespace] = true
	return true
}

func (r *reports) forget(namespace string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.done, namespace)
}

// reportNamespace says, on the ClusterSet because there is nothing else to say it on, that a Service is not imported.
func (r *Reconciler) reportNamespace(ctx context.Context, request reconcile.Request, found constituents.Exports) error {
	if !r.reported.first(request.Namespace) {
		return nil
	}
	set := &v1alpha1.ClusterSet{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
		r.reported.forget(request.Namespace)
		return client.IgnoreNotFound(err)
	}
	r.Events.Eventf(set, nil, corev1.EventTypeWarning, reasonNamespaceMissing, "Import",
		"Service %s, exported by %s, is not imported: there is no namespace %s here; create it to import what is exported from it",
		request, joinIDs(found.Clusters()), request.Namespace)
	return nil
}
