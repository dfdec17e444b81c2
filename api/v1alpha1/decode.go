package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
)

// Members write ExportedServices and GatewayNodes, and the hub's API server lets through what our types cannot hold: a
// time in lower case, say, or one with a zone of 99 hours. One such object in a list or a watch must not keep everybody
// from reading the others, so these two kinds are read one by one: what cannot be understood is left with its metadata
// alone, which no API server would have admitted, and is skipped like anything else that is malformed.

// UnmarshalJSON implements json.Unmarshaler. What cannot be read leaves the ExportedService without spec.
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

// UnmarshalJSON implements json.Unmarshaler. What cannot be read leaves the GatewayNode without spec and status.
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
