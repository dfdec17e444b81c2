package kubeproxy

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// api serves lists and watches of the objects that it is given, as much as the informers of client-go ask for. It has
// no other verb and minds no selector: whoever fills it gives it what is to be seen.
type api struct {
	mux *http.ServeMux

	// mu guards what follows.
	mu sync.Mutex
	// version of the last event; versions count from 1.
	version int64
	objects map[resource]map[string]json.RawMessage
	events  map[resource][]event
	// changed is closed, and replaced, when there are more events.
	changed chan struct{}
}

// resource by its path, with the kind of its objects.
type resource struct {
	path string
	kind schema.GroupVersionKind
}

type event struct {
	version int64
	kind    watch.EventType
	object  json.RawMessage
}

// resources are those that kube-proxy v1.36 watches.
var resources = []resource{
	{"/api/v1/nodes", corev1.SchemeGroupVersion.WithKind("Node")},
	{"/api/v1/services", corev1.SchemeGroupVersion.WithKind("Service")},
	{"/apis/discovery.k8s.io/v1/endpointslices", discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice")},
	{"/apis/networking.k8s.io/v1/servicecidrs", networkingv1.SchemeGroupVersion.WithKind("ServiceCIDR")},
}

func newAPI() *api {
	a := &api{mux: http.NewServeMux(), objects: map[resource]map[string]json.RawMessage{},
		events: map[resource][]event{}, changed: make(chan struct{})}
	for _, r := range resources {
		a.objects[r] = map[string]json.RawMessage{}
		a.mux.HandleFunc("GET "+r.path, func(w http.ResponseWriter, request *http.Request) {
			if watching, _ := strconv.ParseBool(request.FormValue("watch")); watching {
				a.watch(w, request, r)
				return
			}
			a.list(w, r)
		})
	}
	a.mux.HandleFunc("GET /api/v1/nodes/{name}", a.node)
	a.mux.HandleFunc("POST /apis/events.k8s.io/v1/namespaces/{namespace}/events", func(w http.ResponseWriter, request *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.Copy(w, request.Body) // a client that is gone needs no answer
	})
	return a
}

func resourceOf(o runtime.Object) (resource, error) {
	var kind string
	switch o.(type) {
	case *corev1.Node:
		kind = "Node"
	case *corev1.Service:
		kind = "Service"
	case *discoveryv1.EndpointSlice:
		kind = "EndpointSlice"
	}
	i := slices.IndexFunc(resources, func(r resource) bool { return r.kind.Kind == kind })
	if i < 0 {
		return resource{}, fmt.Errorf("%T is not what kube-proxy reads", o)
	}
	return resources[i], nil
}

// put adds the objects, or replaces those of their names.
func (a *api) put(objects ...runtime.Object) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range objects {
		r, err := resourceOf(o)
		if err != nil {
			return err
		}
		name, err := a.name(o)
		if err != nil {
			return err
		}
		kind := watch.Added
		if _, exists := a.objects[r][name]; exists {
			kind = watch.Modified
		}
		text, err := a.record(r, kind, o)
		if err != nil {
			return err
		}
		a.objects[r][name] = text
	}
	a.broadcast()
	return nil
}

// remove takes the objects of those names away.
func (a *api) remove(objects ...runtime.Object) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range objects {
		r, err := resourceOf(o)
		if err != nil {
			return err
		}
		name, err := a.name(o)
		if err != nil {
			return err
		}
		if _, err := a.record(r, watch.Deleted, o); err != nil {
			return err
		}
		delete(a.objects[r], name)
	}
	a.broadcast()
	return nil
}

func (a *api) name(o runtime.Object) (string, error) {
	m, err := meta.Accessor(o)
	if err != nil {
		return "", err
	}
	return m.GetNamespace() + "/" + m.GetName(), nil
}

// record makes an event and returns the object as it is served; a.mu is held.
func (a *api) record(r resource, kind watch.EventType, o runtime.Object) (json.RawMessage, error) {
	a.version++
	o = o.DeepCopyObject()
	o.GetObjectKind().SetGroupVersionKind(r.kind)
	m, err := meta.Accessor(o)
	if err != nil {
		return nil, err
	}
	m.SetResourceVersion(strconv.FormatInt(a.version, 10))
	text, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encoding %s %s: %w", r.kind.Kind, m.GetName(), err)
	}
	a.events[r] = append(a.events[r], event{a.version, kind, text})
	return text, nil
}

// broadcast wakes the watches; a.mu is held.
func (a *api) broadcast() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// snapshot of a resource: its objects sorted by name, and the version that they are of.
func (a *api) snapshot(r resource) ([]json.RawMessage, int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	items := []json.RawMessage{}
	for _, name := range slices.Sorted(maps.Keys(a.objects[r])) {
		items = append(items, a.objects[r][name])
	}
	return items, a.version
}

func (a *api) list(w http.ResponseWriter, r resource) {
	items, version := a.snapshot(r)
	answer(w, map[string]any{
		"kind": r.kind.Kind + "List", "apiVersion": r.kind.GroupVersion().String(),
		"metadata": map[string]string{"resourceVersion": strconv.FormatInt(version, 10)}, "items": items,
	})
}

func (a *api) node(w http.ResponseWriter, request *http.Request) {
	a.mu.Lock()
	text, ok := a.objects[resources[0]]["/"+request.PathValue("name")]
	a.mu.Unlock()
	if !ok {
		http.NotFound(w, request)
		return
	}
	answer(w, text)
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // a client that is gone needs no answer
}

// watch sends what is there first, if that is asked for (KEP-3157, sendInitialEvents), and then every event.
func (a *api) watch(w http.ResponseWriter, request *http.Request, r resource) {
	w.Header().Set("Content-Type", "application/json")
	stream := json.NewEncoder(w)
	send := func(kind watch.EventType, object any) error {
		return stream.Encode(map[string]any{"type": kind, "object": object})
	}
	since, _ := strconv.ParseInt(request.FormValue("resourceVersion"), 10, 64)
	if initial, _ := strconv.ParseBool(request.FormValue("sendInitialEvents")); initial {
		var items []json.RawMessage
		items, since = a.snapshot(r)
		for _, item := range items {
			if send(watch.Added, item) != nil {
				return
			}
		}
		if send(watch.Bookmark, bookmark(r, since)) != nil {
			return
		}
	}
	for {
		_ = http.NewResponseController(w).Flush() // what is buffered is sent with the next one then
		events, changed := a.after(r, since)
		for _, e := range events {
			if send(e.kind, e.object) != nil {
				return
			}
			since = e.version
		}
		if len(events) > 0 {
			continue
		}
		select {
		case <-request.Context().Done():
			return
		case <-changed:
		}
	}
}

// after are the events after a version, and a channel that is closed when there may be more.
func (a *api) after(r resource, version int64) ([]event, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := a.events[r]
	first, _ := slices.BinarySearchFunc(all, version+1, func(e event, v int64) int { return int(e.version - v) })
	return all[first:], a.changed
}

func bookmark(r resource, version int64) any {
	return metav1.PartialObjectMetadata{
		TypeMeta: metav1.TypeMeta{Kind: r.kind.Kind, APIVersion: strings.TrimPrefix(r.kind.GroupVersion().String(), "/")},
		ObjectMeta: metav1.ObjectMeta{ResourceVersion: strconv.FormatInt(version, 10),
			Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}},
	}
}
