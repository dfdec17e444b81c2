package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
)

// Members write ExportedServices and GatewayNodes, and the hub's API server admits what our types
// cannot hold: a time in lower case, for example, or one with a zone of 99 hours. One such object
// in a list or a watch must not keep readers from the others, so these two kinds are read one by
// one. An object that cannot be read keeps its metadata only. No API server would have admitted it
// like that, so it is skipped like anything else that is malformed.

// UnmarshalJSON implements json.Unmarshaler. What cannot be read leaves the ExportedService without
// spec.
func (e *ExportedService) UnmarshalJSON(data []byte) error {
	type plain ExportedService
	if json.Unmarshal(data, (*plain)(e)) == nil {
		return nil
	}
	var err error
	*e = ExportedService{}
	e.TypeMeta, e.ObjectMeta, err = metadataOf(data)
	return err
}

// UnmarshalJSON implements json.Unmarshaler. What cannot be read leaves the GatewayNode without
// spec and status.
func (g *GatewayNode) UnmarshalJSON(data []byte) error {
	type plain GatewayNode
	if json.Unmarshal(data, (*plain)(g)) == nil {
		return nil
	}
	var err error
	*g = GatewayNode{}
	g.TypeMeta, g.ObjectMeta, err = metadataOf(data)
	return err
}

// metadataOf reads what the API server itself writes, or has checked.
func metadataOf(data []byte) (metav1.TypeMeta, metav1.ObjectMeta, error) {
	var known struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        metav1.ObjectMeta `json:"metadata"`
	}
	err := json.Unmarshal(data, &known)
	return known.TypeMeta, known.Metadata, err
}
