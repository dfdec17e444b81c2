package hub

import (
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// rememberingMapper asks once for each kind. A cache of one namespace asks at every read whether
// the kind is namespaced, and the answer costs more than the read. It is safe for concurrent use.
type rememberingMapper struct {
	meta.RESTMapper
	found sync.Map // *meta.RESTMapping by schema.GroupVersionKind
}

// RESTMapping repeats its first answer. It does not remember errors.
func (m *rememberingMapper) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	if len(versions) != 1 {
		return m.RESTMapper.RESTMapping(kind, versions...)
	}
	key := kind.WithVersion(versions[0])
	if known, ok := m.found.Load(key); ok {
		return known.(*meta.RESTMapping), nil
	}
	mapping, err := m.RESTMapper.RESTMapping(kind, versions...)
	if err == nil {
		m.found.Store(key, mapping)
	}
	return mapping, err
}
