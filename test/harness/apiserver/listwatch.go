// Package apiserver serves lists and watches of objects that are in memory, as much of the
// Kubernetes API as informers ask for, in JSON and, for kinds that have it, in protobuf: for tests
// and measurements of what watches an API server, where a real one would take longer to start, or
// compute more, than what is looked at. It owns the objects; it decides nothing about them.
package apiserver

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// Kind of the objects that a Server serves.
type Kind struct {
	schema.GroupVersionKind
	// Plural is its name in paths.
	Plural string
	// Namespaced is false for kinds of the whole cluster.
	Namespaced bool
}

func (k Kind) base() string {
	if k.Group == "" {
		return "/api/" + k.Version
	}
	return "/apis/" + k.Group + "/" + k.Version
}

// Server serves lists and watches of objects. It minds no selector: whoever fills it gives it what
// is to be seen. Of what clients write it takes events, and forgets them, and merge patches of a
// status. It is safe for concurrent use.
type Server struct {
	scheme *runtime.Scheme
	kinds  []Kind
	mux    *http.ServeMux

	// mu guards what follows.
	mu sync.Mutex
	// version of the last event; versions count from 1.
	version int64
	objects map[Kind]map[string]stored
	events  map[Kind][]event
	asked   map[Kind]time.Time
	// changed is closed, and replaced, when there are more events.
	changed chan struct{}
}

type stored struct {
	namespace string
	document  *document
}

type event struct {
	version   int64
	kind      watch.EventType
	namespace string
	document  *document
}

// New returns a Server of those kinds, without objects. The scheme knows the Go types of all of
// them.
func New(scheme *runtime.Scheme, kinds ...Kind) *Server {
	s := &Server{scheme: scheme, kinds: kinds, mux: http.NewServeMux(), objects: map[Kind]map[string]stored{},
		events: map[Kind][]event{}, asked: map[Kind]time.Time{}, changed: make(chan struct{})}
	for _, k := range kinds {
		s.objects[k] = map[string]stored{}
		s.route(k)
	}
	s.discovery()
	s.mux.HandleFunc("POST /apis/events.k8s.io/v1/namespaces/{namespace}/events", takeEvent)
	return s
}

// ServeHTTP answers a request to the API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Asked is when a list or watch of the kind was first asked for; the zero time: not yet.
func (s *Server) Asked(kind string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, at := range s.asked {
		if k.Kind == kind {
			return at
		}
	}
	return time.Time{}
}

// Put adds the objects, or replaces those of their names. Watches see all of them at once. The
// error is about an object of no kind that this Server serves.
func (s *Server) Put(objects ...runtime.Object) error {
	return s.record(objects, func(k Kind, name string, namespace string, d *document) watch.EventType {
		_, exists := s.objects[k][name]
		s.objects[k][name] = stored{namespace, d}
		if exists {
			return watch.Modified
		}
		return watch.Added
	})
}

// Remove takes the objects of those names away.
func (s *Server) Remove(objects ...runtime.Object) error {
	return s.record(objects, func(k Kind, name, _ string, _ *document) watch.EventType {
		delete(s.objects[k], name)
		return watch.Deleted
	})
}

// record keeps the objects with do, and an event of each. They are encoded here in the form that
// most clients ask for, so that this does not count as a client's time.
func (s *Server) record(objects []runtime.Object, do func(k Kind, name, namespace string, d *document) watch.EventType) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range objects {
		k, err := s.kindOf(o)
		if err != nil {
			return err
		}
		o = o.DeepCopyObject()
		o.GetObjectKind().SetGroupVersionKind(k.GroupVersionKind)
		m, err := meta.Accessor(o)
		if err != nil {
			return err
		}
		s.version++
		m.SetResourceVersion(strconv.FormatInt(s.version, 10))
		d := &document{object: o}
		if _, err := d.in(best(o), s.scheme); err != nil {
			return err
		}
		kind := do(k, m.GetNamespace()+"/"+m.GetName(), m.GetNamespace(), d)
		s.events[k] = append(s.events[k], event{s.version, kind, m.GetNamespace(), d})
	}
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

func (s *Server) kindOf(o runtime.Object) (Kind, error) {
	known, _, err := s.scheme.ObjectKinds(o)
	if err != nil {
		return Kind{}, fmt.Errorf("finding the kind of %T: %w", o, err)
	}
	i := slices.IndexFunc(s.kinds, func(k Kind) bool { return slices.Contains(known, k.GroupVersionKind) })
	if i < 0 {
		return Kind{}, fmt.Errorf("%T is not of the kinds that are served", o)
	}
	return s.kinds[i], nil
}
