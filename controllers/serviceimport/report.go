package serviceimport

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/exporters"
)

// reports remembers what was reported of what, so that it is once. It is safe for concurrent use.
type reports struct {
	mu   sync.Mutex
	done map[string]string // guarded by mu; of what, what was reported last
}

// first tells whether what is news of key.
func (r *reports) first(key, what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done[key] == what {
		return false
	}
	if r.done == nil {
		r.done = map[string]string{}
	}
	r.done[key] = what
	return true
}

func (r *reports) forget(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.done, key)
}

// reportObstacle says, once for each namespace and on the ClusterSet, because there is nothing else to say it on, that
// a Service is not imported.
func (r *Reconciler) reportObstacle(set *v1alpha1.ClusterSet, request reconcile.Request, why obstacle, found exporters.Exports) {
	if !r.reported.first(request.Namespace, string(why)) {
		return
	}
	remedy := map[obstacle]string{
		missing:     fmt.Sprintf("there is no namespace %s here; create it to import what is exported from it", request.Namespace),
		notSelected: fmt.Sprintf("ClusterSet.spec.importNamespaces does not select namespace %s; label the namespace so that it does, or change the selector", request.Namespace),
		unclear:     "ClusterSet.spec.importNamespaces is not a valid label selector; correct it: until then what is imported stays, and nothing is added",
	}[why]
	r.Events.Eventf(set, nil, corev1.EventTypeWarning, string(why), "Import",
		"Service %s, exported by %s, is not imported: %s", request, join(found.Clusters()), remedy)
}

// leaveAlone says, once and on the ServiceImport itself, where its owner sees it, that somebody else's ServiceImport
// keeps a Service from being imported. Nothing of it is changed.
func (r *Reconciler) leaveAlone(ctx context.Context, foreign *mcsv1beta1.ServiceImport) error {
	key := client.ObjectKeyFromObject(foreign)
	r.ledger.release(key.String())
	view, err := r.Hub.View()
	if err != nil {
		return nil //nolint:nilerr // whether it is in the way shows later
	}
	found, err := exporters.Of(ctx, r.Client, view, key, nil)
	if err != nil || found.None() || !r.reported.first(key.String(), string(foreign.UID)) {
		return err
	}
	r.Events.Eventf(foreign, nil, corev1.EventTypeWarning, v1alpha1.ReasonNotOurs, "Import",
		"Service %s, exported by %s, is not imported: this ServiceImport is somebody else's, as it lacks the label %s=%s; delete it to import the Service",
		key, join(found.Clusters()), v1alpha1.LabelManagedBy, v1alpha1.ManagedBy)
	logf.FromContext(ctx).Info("somebody else's ServiceImport is in the way of an import")
	return nil
}
