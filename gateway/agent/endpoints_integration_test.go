//go:build integration

package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func (k *memoryKernel) take(port int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.takenPort = port
}

// publishes wants those endpoints, and Ready with that reason and words in its message.
func publishes(reason, words string, want ...string) func(*v1alpha1.GatewayNode) error {
	return func(g *v1alpha1.GatewayNode) error {
		if got := endpointTexts(g.Spec.Endpoints); !slices.Equal(got, want) {
			return fmt.Errorf("endpoints are %q, want %q", got, want)
		}
		c := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionReady)
		if c == nil || c.Reason != reason || !strings.Contains(c.Message, words) || (c.Status == metav1.ConditionTrue) != (reason == v1alpha1.ReasonReady) {
			return fmt.Errorf("condition Ready is %+v, want %s with %q", c, reason, words)
		}
		return nil
	}
}

// testEndpoints: what is published follows the ClusterSet and the Node's annotation, at a port that
// the gateway has. Mistakes change nothing that works.
func (s apiServer) testEndpoints(t *testing.T, g gatewayOn) {
	annotate := func(value string) {
		t.Helper()
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "east-0"}}
		text := fmt.Sprintf(`{"metadata":{"annotations":{%q:%s}}}`, v1alpha1.AnnotationGatewayEndpoints, value)
		if err := s.admin.Patch(t.Context(), node, client.RawPatch(types.MergePatchType, []byte(text))); err != nil {
			t.Fatal(err)
		}
	}
	options := func(text string) {
		t.Helper()
		set := &v1alpha1.ClusterSet{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName}}
		patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"gateway":`+text+`}}`))
		if err := s.admin.Patch(t.Context(), set, patch); err != nil {
			t.Fatal(err)
		}
	}
	const ready, invalid, taken = v1alpha1.ReasonReady, v1alpha1.ReasonInvalidEndpoint, v1alpha1.ReasonPortInUse
	const external, internal = "203.0.113.7 51820", "192.0.2.10 51820"
	wants := func(reason, words string, endpoints ...string) {
		t.Helper()
		s.gateway(t, "east-0", publishes(reason, words, endpoints...))
	}
	wants(ready, "", external, internal)
	options(`{"endpoints":["InternalIP"]}`)
	wants(ready, "", internal)
	annotate(`"198.51.100.7:4500, gateway.example.com"`)
	wants(invalid, `node east-0, annotation clusterset.tombolo.dev/gateway-endpoints: "gateway.example.com"`, "198.51.100.7 4500")
	annotate(`"gateway.example.com"`)
	wants(invalid, "gateway.example.com", "198.51.100.7 4500") // nothing better: what was published stays
	annotate(`"198.51.100.8"`)
	wants(ready, "", "198.51.100.8 51820")

	// The device is tombolo1, for the lane of west's gateway.
	g.kernel.take(6001)
	options(`{"port":6000}`)
	wants(taken, "the gateway stays at port 51820: UDP port 6001 is used by WireGuard device wg0", "198.51.100.8 51820")
	annotate("null")
	wants(taken, "UDP port 6001", internal) // it follows other changes meanwhile
	g.kernel.take(0)
	g.agent.Changed()
	wants(ready, "", "192.0.2.10 6000")
	options(`{"port":null,"endpoints":null}`)
	wants(ready, "", external, internal)
}
