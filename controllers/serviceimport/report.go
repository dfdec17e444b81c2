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

// reports remember what was reported last about each key, so that it is reported once. It is safe
// for concurrent use.
type reports struct {
	mu   sync.Mutex
	last map[string]string // guarded by mu; by key
}

// changed tells whether what was not reported last about key, and remembers it.
func (r *reports) changed(key, what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last[key] == what {
		return false
	}
	if r.last == nil {
		r.last = map[string]string{}
	}
	r.last[key] = what
	return true
}

func (r *reports) forget(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.last, key)
}

// reportObstacle makes an event, one for each namespace, that a Service is not imported. The event
// is about the ClusterSet because there is no other object for it.
func (r *Reconciler) reportObstacle(set *v1alpha1.ClusterSet, request reconcile.Request, why obstacle, found exporters.Exports) {
	if !r.reported.changed(request.Namespace, string(why)) {
		return
	}
	remedy := map[obstacle]string{
		missing:     fmt.Sprintf("there is no namespace %s: create it to import what is exported from it", request.Namespace),
		notSelected: fmt.Sprintf("ClusterSet.spec.importNamespaces does not select namespace %s: label the namespace or change the selector", request.Namespace),
		system: fmt.Sprintf("namespace %s is a system namespace: to import into it, let ClusterSet.spec.importNamespaces select it, "+
			"for example by its label kubernetes.io/metadata.name", request.Namespace),
		unclear: "ClusterSet.spec.importNamespaces is not a valid label selector: correct it; until then what is imported stays, and nothing is added",
	}[why]
	r.Events.Eventf(set, nil, corev1.EventTypeWarning, string(why), "Import",
		"Service %s, exported by %s, is not imported: %s", request, join(found.Clusters()), remedy)
}

// reportForeign makes one event that somebody else's ServiceImport keeps a Service from being
// imported. The event is about that ServiceImport, where its owner sees it. The ServiceImport is
// not changed.
func (r *Reconciler) reportForeign(ctx context.Context, foreign *mcsv1beta1.ServiceImport) error {
	key := client.ObjectKeyFromObject(foreign)
	r.decisions.forget(key.String())
	view, err := r.Hub.View()
	if err != nil {
		return nil //nolint:nilerr // whether it matters shows later
	}
	found, err := exporters.Of(ctx, r.Client, view, key, nil)
	if err != nil || found.None() || !r.reported.changed(key.String(), string(foreign.UID)) {
		return err
	}
	r.Events.Eventf(foreign, nil, corev1.EventTypeWarning, v1alpha1.ReasonNotOurs, "Import",
		"Service %s, exported by %s, is not imported: this ServiceImport is not tombolo's (it lacks the label %s=%s); delete it to import the Service",
		key, join(found.Clusters()), v1alpha1.LabelManagedBy, v1alpha1.ManagedBy)
	logf.FromContext(ctx).Info("somebody else's ServiceImport is in the way of an import")
	return nil
}
