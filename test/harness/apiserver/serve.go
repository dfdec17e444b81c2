package apiserver

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/watch"
)

// route serves a kind under its paths.
func (s *Server) route(k Kind) {
	all := func(w http.ResponseWriter, r *http.Request) {
		s.ask(k)
		if watching, _ := strconv.ParseBool(r.FormValue("watch")); watching {
			s.watch(w, r, k)
			return
		}
		s.list(w, r, k)
	}
	one := k.base() + "/" + k.Plural
	s.mux.HandleFunc("GET "+one, all)
	if k.Namespaced {
		one = k.base() + "/namespaces/{namespace}/" + k.Plural
		s.mux.HandleFunc("GET "+one, all)
	}
	s.mux.HandleFunc("GET "+one+"/{name}", func(w http.ResponseWriter, r *http.Request) {
		if have, ok := s.get(k, r); ok {
			answer(w, have.object)
			return
		}
		http.NotFound(w, r)
	})
	s.mux.HandleFunc("PATCH "+one+"/{name}/status", func(w http.ResponseWriter, r *http.Request) { s.patch(w, r, k) })
}

// ask remembers when a kind was first asked for.
func (s *Server) ask(k Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked[k].IsZero() {
		s.asked[k] = time.Now()
	}
}

func (s *Server) get(k Kind, r *http.Request) (*document, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[k][r.PathValue("namespace")+"/"+r.PathValue("name")]
	return o.document, ok
}

// snapshot of a kind: its objects sorted by name, and the version that they are of. No namespace is
// every one.
func (s *Server) snapshot(k Kind, namespace string) ([]*document, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	items := []*document{}
	for _, name := range slices.Sorted(maps.Keys(s.objects[k])) {
		if o := s.objects[k][name]; namespace == "" || namespace == o.namespace {
			items = append(items, o.document)
		}
	}
	return items, s.version
}

func (s *Server) list(w http.ResponseWriter, r *http.Request, k Kind) {
	items, version := s.snapshot(k, r.PathValue("namespace"))
	if err := s.answerList(w, s.formFor(r, k), k, items, version); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // a client that is gone needs no answer
}

// patch merges a status, and answers with the object as it is then.
func (s *Server) patch(w http.ResponseWriter, r *http.Request, k Kind) {
	change, err := io.ReadAll(r.Body)
	if err != nil {
		return // nobody listens any more
	}
	have, ok := s.get(k, r)
	if !ok {
		http.NotFound(w, r)
		return
	}
	object, err := s.scheme.New(k.GroupVersionKind)
	var text []byte
	if err == nil {
		text, err = have.in(inJSON, s.scheme)
	}
	if err == nil {
		text, err = strategicpatch.StrategicMergePatch(text, change, object)
	}
	if err == nil {
		err = json.Unmarshal(text, object)
	}
	if err == nil {
		err = s.Put(object)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	have, _ = s.get(k, r)
	answer(w, have.object)
}

func takeEvent(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	w.WriteHeader(http.StatusCreated)
	_, _ = io.Copy(w, r.Body) // a client that is gone needs no answer
}

// watch sends what is there first, if that is asked for (KEP-3157, sendInitialEvents), and then
// every event.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, k Kind) {
	f := s.formFor(r, k)
	w.Header().Set("Content-Type", f.watch())
	namespace := r.PathValue("namespace")
	since, _ := strconv.ParseInt(r.FormValue("resourceVersion"), 10, 64)
	if initial, _ := strconv.ParseBool(r.FormValue("sendInitialEvents")); initial {
		items, version := s.snapshot(k, namespace)
		since = version
		if s.sendFirst(w, f, k, items, since) != nil {
			return
		}
	}
	for {
		_ = http.NewResponseController(w).Flush() // what is buffered is sent with the next one then
		events, changed := s.after(k, since)
		for _, e := range events {
			if namespace != "" && namespace != e.namespace {
				continue
			}
			if s.sendDocument(w, f, e.kind, e.document) != nil {
				return
			}
		}
		if len(events) > 0 {
			since = events[len(events)-1].version
			continue
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		}
	}
}

// sendFirst sends what is there, and that this was all.
func (s *Server) sendFirst(w io.Writer, f form, k Kind, items []*document, version int64) error {
	for _, item := range items {
		if err := s.sendDocument(w, f, watch.Added, item); err != nil {
			return err
		}
	}
	end, err := s.bookmark(f, k, version)
	if err != nil {
		return err
	}
	return f.send(w, watch.Bookmark, end)
}

func (s *Server) sendDocument(w io.Writer, f form, kind watch.EventType, d *document) error {
	object, err := d.in(f, s.scheme)
	if err != nil {
		return err
	}
	return f.send(w, kind, object)
}

// after are the events after a version, and a channel that is closed when there may be more.
func (s *Server) after(k Kind, version int64) ([]event, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.events[k]
	first, _ := slices.BinarySearchFunc(all, version+1, func(e event, v int64) int { return int(e.version - v) })
	return all[first:], s.changed
}
