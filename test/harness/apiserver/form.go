package apiserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/watch"
)

// form is how objects are written.
type form int

const (
	inJSON form = iota
	inProtobuf
)

// formFor is what a client reads of a kind: protobuf if it asks for that and the kind has it.
func (s *Server) formFor(r *http.Request, k Kind) form {
	object, err := s.scheme.New(k.GroupVersionKind)
	if err == nil && strings.Contains(r.Header.Get("Accept"), runtime.ContentTypeProtobuf) {
		return best(object)
	}
	return inJSON
}

// best is the form that takes least, of those that the object's type has.
func best(o runtime.Object) form {
	if _, has := o.(interface{ Marshal() ([]byte, error) }); has {
		return inProtobuf
	}
	return inJSON
}

// list and watch are the content types of the form.
func (f form) list() string {
	if f == inProtobuf {
		return runtime.ContentTypeProtobuf
	}
	return runtime.ContentTypeJSON
}

func (f form) watch() string {
	if f == inProtobuf {
		return runtime.ContentTypeProtobuf + ";stream=watch"
	}
	return runtime.ContentTypeJSON
}

// encode is the object in that form.
func (f form) encode(s *runtime.Scheme, o runtime.Object) ([]byte, error) {
	if f == inJSON {
		return json.Marshal(o)
	}
	var b bytes.Buffer
	err := protobuf.NewSerializer(s, s).Encode(o, &b)
	return b.Bytes(), err
}

// document is an object as it is served: it never changes, and is encoded once in each form that
// somebody asks for.
type document struct {
	object runtime.Object

	// mu guards what follows.
	mu      sync.Mutex
	encoded [inProtobuf + 1][]byte
}

func (d *document) in(f form, s *runtime.Scheme) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.encoded[f] == nil {
		data, err := f.encode(s, d.object)
		if err != nil {
			return nil, fmt.Errorf("encoding %T: %w", d.object, err)
		}
		d.encoded[f] = data
	}
	return d.encoded[f], nil
}

// send writes an event of a watch. What is in JSON is not looked at again, since that would cost as
// much as the client's reading.
func (f form) send(w io.Writer, kind watch.EventType, object []byte) error {
	if f == inJSON {
		_, err := fmt.Fprintf(w, "{\"type\":%q,\"object\":%s}\n", kind, object)
		return err
	}
	var line bytes.Buffer
	frames := protobuf.LengthDelimitedFramer.NewFrameWriter(&line)
	err := protobuf.NewRawSerializer(nil, nil).Encode(&metav1.WatchEvent{Type: string(kind), Object: runtime.RawExtension{Raw: object}}, frames)
	if err != nil {
		return err
	}
	_, err = w.Write(line.Bytes())
	return err
}

// answerList writes a list.
func (s *Server) answerList(w http.ResponseWriter, f form, k Kind, items []*document, version int64) error {
	list, err := s.scheme.New(k.GroupVersion().WithKind(k.Kind + "List"))
	if err != nil {
		return err
	}
	list.GetObjectKind().SetGroupVersionKind(k.GroupVersion().WithKind(k.Kind + "List"))
	objects := make([]runtime.Object, 0, len(items))
	for _, item := range items {
		objects = append(objects, item.object)
	}
	m, err := meta.ListAccessor(list)
	if err != nil {
		return err
	}
	m.SetResourceVersion(strconv.FormatInt(version, 10))
	if err := meta.SetList(list, objects); err != nil {
		return err
	}
	data, err := f.encode(s.scheme, list)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", f.list())
	_, err = w.Write(data)
	return err
}

// bookmark ends the first events of a watch.
func (s *Server) bookmark(f form, k Kind, version int64) ([]byte, error) {
	o, err := s.scheme.New(k.GroupVersionKind)
	if err != nil {
		return nil, err
	}
	o.GetObjectKind().SetGroupVersionKind(k.GroupVersionKind)
	m, err := meta.Accessor(o)
	if err != nil {
		return nil, err
	}
	m.SetResourceVersion(strconv.FormatInt(version, 10))
	m.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	return f.encode(s.scheme, o)
}
