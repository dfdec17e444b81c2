package v1alpha1

import (
	"encoding/json"
	"testing"
)

// One object that our types cannot hold does not spoil the list that it is in.
func TestDecodeList(t *testing.T) {
	const text = `{"items": [
		{"metadata": {"name": "west.bad"}, "spec": {"namespace": "shop", "name": "bad", "exportedAt": "2026-01-01t00:00:00z"}},
		{"metadata": {"name": "west.good"}, "spec": {"namespace": "shop", "name": "good", "exportedAt": "2026-01-01T00:00:00Z"}}
	]}`
	list := &ExportedServiceList{}
	if err := json.Unmarshal([]byte(text), list); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 2 {
		t.Fatalf("read %d items, want 2", len(list.Items))
	}
	if bad := list.Items[0]; bad.Name != "west.bad" || bad.Spec.Name != "" {
		t.Errorf("read %+v, want metadata alone", bad)
	}
	if good := list.Items[1]; good.Name != "west.good" || good.Spec.Name != "good" || good.Spec.ExportedAt.IsZero() {
		t.Errorf("read %+v", good)
	}
}

func TestDecodeGatewayNode(t *testing.T) {
	node := &GatewayNode{}
	text := `{"metadata": {"name": "west.1"}, "spec": {"nodeName": "n"}, "status": {"conditions": [{"lastTransitionTime": "2026-01-01T00:00:00+99:99"}]}}`
	if err := json.Unmarshal([]byte(text), node); err != nil {
		t.Fatal(err)
	}
	if node.Name != "west.1" || node.Spec.NodeName != "" {
		t.Errorf("read %+v, want metadata alone", node)
	}
	if err := json.Unmarshal([]byte(`{"metadata": {"name": "west.1"}, "spec": {"nodeName": "n"}}`), node); err != nil || node.Spec.NodeName != "n" {
		t.Errorf("read %+v, %v", node, err)
	}
	if err := json.Unmarshal([]byte(`{"metadata": 1}`), node); err == nil {
		t.Error("read what is no object")
	}
}
