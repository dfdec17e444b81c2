package listwatch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
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
		if text, ok := s.get(k, r); ok {
			answer(w, text)
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

func (s *Server) get(k Kind, r *http.Request) (json.RawMessage, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[k][r.PathValue("namespace")+"/"+r.PathValue("name")]
	return o.text, ok
}

// snapshot of a kind: its objects sorted by name, and the version that they are of. No namespace is every one.
func (s *Server) snapshot(k Kind, namespace string) ([]json.RawMessage, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	items := []json.RawMessage{}
	for _, name := range slices.Sorted(maps.Keys(s.objects[k])) {
		if o := s.objects[k][name]; namespace == "" || namespace == o.namespace {
			items = append(items, o.text)
		}
	}
	return items, s.version
}

func (s *Server) list(w http.ResponseWriter, r *http.Request, k Kind) {
	items, version := s.snapshot(k, r.PathValue("namespace"))
	answer(w, map[string]any{
		"kind": k.Kind + "List", "apiVersion": k.GroupVersion().String(),
		"metadata": map[string]string{"resourceVersion": strconv.FormatInt(version, 10)}, "items": items,
	})
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
	if err == nil {
		have, err = strategicpatch.StrategicMergePatch(have, change, object)
	}
	if err == nil {
		err = json.Unmarshal(have, object)
	}
	if err == nil {
		err = s.Put(object)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	have, _ = s.get(k, r)
	answer(w, have)
}

func takeEvent(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = io.Copy(w, r.Body) // a client that is gone needs no answer
}

// watch sends what is there first, if that is asked for (KEP-3157, sendInitialEvents), and then every event.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, k Kind) {
	w.Header().Set("Content-Type", "application/json")
	namespace := r.PathValue("namespace")
	since, _ := strconv.ParseInt(r.FormValue("resourceVersion"), 10, 64)
	if initial, _ := strconv.ParseBool(r.FormValue("sendInitialEvents")); initial {
		var items []json.RawMessage
		items, since = s.snapshot(k, namespace)
		for _, item := range items {
			if send(w, watch.Added, item) != nil {
				return
			}
		}
		if send(w, watch.Bookmark, bookmark(k, since)) != nil {
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
			if send(w, e.kind, e.object) != nil {
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

// send writes an event; the object is not looked at again, since that would cost as much as the client's reading.
func send(w io.Writer, kind watch.EventType, object json.RawMessage) error {
	var line bytes.Buffer
	fmt.Fprintf(&line, `{"type":%q,"object":`, kind)
	line.Write(object)
	line.WriteString("}\n")
	_, err := w.Write(line.Bytes())
	return err
}

// after are the events after a version, and a channel that is closed when there may be more.
func (s *Server) after(k Kind, version int64) ([]event, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.events[k]
	first, _ := slices.BinarySearchFunc(all, version+1, func(e event, v int64) int { return int(e.version - v) })
	return all[first:], s.changed
}

func bookmark(k Kind, version int64) json.RawMessage {
	text, err := json.Marshal(metav1.PartialObjectMetadata{
		TypeMeta: metav1.TypeMeta{Kind: k.Kind, APIVersion: k.GroupVersion().String()},
		ObjectMeta: metav1.ObjectMeta{ResourceVersion: strconv.FormatInt(version, 10),
			Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}},
	})
	utilruntime.Must(err) // strings only
	return text
}
