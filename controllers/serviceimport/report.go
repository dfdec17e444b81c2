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

// reports remember what was reported last about each subject, so that it is reported once. A report
// is about a namespace or a ServiceImport, and remembered as long as it concerns a Service. It is safe
// for concurrent use.
type reports struct {
	mu   sync.Mutex
	last map[client.ObjectKey]*report // guarded by mu; by subject: a namespace has an empty name
}

type report struct {
	what     string
	services map[client.ObjectKey]bool // that it concerns
}

// changed tells whether what was not reported last about the subject, and remembers it. It concerns
// the Service.
func (r *reports) changed(subject, service client.ObjectKey, what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	have := r.last[subject]
	if have == nil {
		if r.last == nil {
			r.last = map[client.ObjectKey]*report{}
		}
		have = &report{services: map[client.ObjectKey]bool{}}
		r.last[subject] = have
	}
	before := have.what
	have.what, have.services[service] = what, true
	return before != what
}

// forget forgets the report about the subject: what it said is over.
func (r *reports) forget(subject client.ObjectKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.last, subject)
}

// release forgets that a Service is concerned: it is imported, or nobody exports it any more. Reports
// that concern no other Service are forgotten.
func (r *reports) release(service client.ObjectKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, subject := range []client.ObjectKey{service, namespaceOf(service)} {
		if have := r.last[subject]; have != nil {
			delete(have.services, service)
			if len(have.services) == 0 {
				delete(r.last, subject)
			}
		}
	}
}

// services are those that reports concern.
func (r *reports) services() []reconcile.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []reconcile.Request
	for _, report := range r.last {
		for service := range report.services {
			all = append(all, reconcile.Request{NamespacedName: service})
		}
	}
	return all
}

// namespaceOf is the subject of reports about the Service's namespace.
func namespaceOf(service client.ObjectKey) client.ObjectKey {
	return client.ObjectKey{Namespace: service.Namespace}
}

// reportObstacle makes an event, one for each namespace, that a Service is not imported. The event
// is about the ClusterSet because there is no other object for it.
func (r *Reconciler) reportObstacle(set *v1alpha1.ClusterSet, request reconcile.Request, why obstacle, found exporters.Exports) {
	if !r.reported.changed(namespaceOf(request.NamespacedName), request.NamespacedName, string(why)) {
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
	if err == nil && found.None() {
		r.reported.release(key)
	}
	if err != nil || found.None() || !r.reported.changed(key, key, string(foreign.UID)) {
		return err
	}
	r.Events.Eventf(foreign, nil, corev1.EventTypeWarning, v1alpha1.ReasonNotOurs, "Import",
		"Service %s, exported by %s, is not imported: this ServiceImport is not tombolo's (it lacks the label %s=%s); delete it to import the Service",
		key, join(found.Clusters()), v1alpha1.LabelManagedBy, v1alpha1.ManagedBy)
	logf.FromContext(ctx).Info("somebody else's ServiceImport is in the way of an import")
	return nil
}
