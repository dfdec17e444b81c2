package addons

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// field returns a field of one of CoreDNS's objects, nil if it is not there.
func field(t *testing.T, objects []*unstructured.Unstructured, kind string, path ...string) any {
	t.Helper()
	for _, object := range objects {
		if object.GetKind() == kind {
			value, _, err := unstructured.NestedFieldNoCopy(object.Object, path...)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	t.Fatalf("there is no %s", kind)
	return nil
}

func TestCoreDNSObjects(t *testing.T) {
	pod := []string{"spec", "template", "spec"}
	tests := []struct {
		name string
		in   CoreDNS
		want map[string]any
	}{{
		name: "behind its Service",
		in:   CoreDNS{Image: "coredns/coredns:v1", ServiceIP: netip.MustParseAddr("10.101.0.10")},
		want: map[string]any{"hostNetwork": nil, "nodeSelector": nil, "env": nil},
	}, {
		name: "on a node's network",
		in: CoreDNS{
			Image: "coredns/coredns:v1", ServiceIP: netip.MustParseAddr("10.101.0.10"),
			HostNode: "east-1", APIServer: netip.MustParseAddrPort("192.168.127.254:6443"),
		},
		want: map[string]any{
			"hostNetwork":  true,
			"nodeSelector": map[string]any{"kubernetes.io/hostname": "east-1"},
			"env": []any{
				map[string]any{"name": "KUBERNETES_SERVICE_HOST", "value": "192.168.127.254"},
				map[string]any{"name": "KUBERNETES_SERVICE_PORT", "value": "6443"},
			},
		},
	}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			objects, err := tt.in.Objects()
			if err != nil {
				t.Fatal(err)
			}
			if got := field(t, objects, "Service", "spec", "clusterIP"); got != "10.101.0.10" {
				t.Errorf("address of the Service: %v", got)
			}
			container := field(t, objects, "Deployment", append(pod, "containers")...).([]any)[0].(map[string]any)
			if container["image"] != "coredns/coredns:v1" {
				t.Errorf("image %v", container["image"])
			}
			got := map[string]any{
				"hostNetwork":  field(t, objects, "Deployment", append(pod, "hostNetwork")...),
				"nodeSelector": field(t, objects, "Deployment", append(pod, "nodeSelector")...),
				"env":          container["env"],
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("pod (-want +got):\n%s", diff)
			}
		})
	}
}
