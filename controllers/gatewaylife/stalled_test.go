package gatewaylife

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// The gateway says that it is ready, and nothing after it died. Tools must not go by that.
func TestDeadGatewayIsFailed(t *testing.T) {
	for _, tt := range []struct {
		alive metav1.ConditionStatus
		want  status.Status
	}{
		{metav1.ConditionTrue, status.CurrentStatus},
		{metav1.ConditionUnknown, status.CurrentStatus},
		{metav1.ConditionFalse, status.FailedStatus},
	} {
		l := life{alive: &metav1.Condition{Type: v1alpha1.ConditionAlive, Status: tt.alive, Reason: "Test", Message: "why"}}
		object, err := l.object(&v1alpha1.GatewayNode{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "b"}})
		if err != nil {
			t.Fatal(err)
		}
		fields := object.Object["status"].(map[string]any)
		fields["conditions"] = append(fields["conditions"].([]any), map[string]any{"type": "Ready", "status": "True"})
		result, err := status.Compute(object)
		if err != nil {
			t.Fatal(err)
		}
		if result.Status != tt.want {
			t.Errorf("with Alive=%s the gateway is %s, want %s", tt.alive, result.Status, tt.want)
		}
	}
}
