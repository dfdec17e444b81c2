//go:build integration

package policy

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/test/lab/controlplane"
)

// Who drains both nodes of the operators, by the eviction API, leaves one of them until the other is
// ready elsewhere. A single operator, and operators that are not ready, keep nobody from draining.
func TestOperatorsAreDrainedOneByOne(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	planes, err := controlplane.Start(ctx, controlplane.Config{Clusters: []controlplane.ClusterConfig{
		{Name: "east", Controllers: []string{"deployment-controller", "replicaset-controller", "disruption-controller"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := planes.Stop(); err != nil {
			t.Error(err)
		}
	})
	d := drained{clientFor(t, planes.Cluster("east").RESTConfig())}
	paste(ctx, t, planes.Kubeconfig(), map[string]string{"FOLDER": filepath.Join("config", "default")}, `kubectl --context east apply -k "$FOLDER"`)

	first := d.run(ctx, t, 2)
	d.allows(ctx, t, 1)
	if err := d.evict(ctx, first[0]); err != nil {
		t.Errorf("the first operator: %v", err)
	}
	if err := d.evict(ctx, first[1]); !apierrors.IsTooManyRequests(err) {
		t.Errorf("the second operator while there is no other: %v", err)
	}
	if pods := d.run(ctx, t, 2); len(pods) != 2 {
		t.Fatalf("%d operators", len(pods))
	}
	d.allows(ctx, t, 1)
	if err := d.evict(ctx, first[1]); err != nil {
		t.Errorf("the second operator while there is another: %v", err)
	}

	for _, pod := range d.run(ctx, t, 2) {
		d.ready(ctx, t, pod, corev1.ConditionFalse)
	}
	d.allows(ctx, t, 0)
	for _, pod := range d.pods(ctx, t) {
		if err := d.evict(ctx, pod); err != nil {
			t.Errorf("operators that are not ready: %v", err)
		}
	}

	operator := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "tombolo-operator"}}
	if err := d.Patch(ctx, operator, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":1}}`))); err != nil {
		t.Fatal(err)
	}
	single := d.run(ctx, t, 1)
	d.allows(ctx, t, 1)
	if err := d.evict(ctx, single[0]); err != nil {
		t.Errorf("a single operator: %v", err)
	}
}

// drained is a cluster without nodes and scheduler.
type drained struct{ client.Client }

// pods are the operators.
func (d drained) pods(ctx context.Context, t *testing.T) []*corev1.Pod {
	t.Helper()
	list := &corev1.PodList{}
	if err := d.List(ctx, list, client.InNamespace(system), client.MatchingLabels{"app.kubernetes.io/name": "tombolo-operator"}); err != nil {
		t.Fatal(err)
	}
	var pods []*corev1.Pod
	for i := range list.Items {
		pods = append(pods, &list.Items[i])
	}
	return pods
}

// run waits until there are n operators, and makes them run, as scheduler and kubelet would.
func (d drained) run(ctx context.Context, t *testing.T, n int) []*corev1.Pod {
	t.Helper()
	var pods []*corev1.Pod
	if err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(context.Context) (bool, error) {
		pods = d.pods(ctx, t)
		return len(pods) == n, nil
	}); err != nil {
		t.Fatalf("%d operators, want %d: %v", len(pods), n, err)
	}
	for _, pod := range pods {
		if pod.Spec.NodeName == "" {
			binding := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "node"}}
			if err := d.SubResource("binding").Create(ctx, pod, binding); err != nil {
				t.Fatal(err)
			}
		}
		d.ready(ctx, t, pod, corev1.ConditionTrue)
	}
	return pods
}

// ready says for the kubelet that the pod is ready, or is not.
func (d drained) ready(ctx context.Context, t *testing.T, pod *corev1.Pod, status corev1.ConditionStatus) {
	t.Helper()
	patch := fmt.Sprintf(`{"status":{"phase":"Running","conditions":[{"type":"Ready","status":%q}]}}`, status)
	if err := d.Status().Patch(ctx, pod, client.RawPatch(types.StrategicMergePatchType, []byte(patch))); err != nil {
		t.Fatal(err)
	}
}

// allows waits until the budget allows n disruptions.
func (d drained) allows(ctx context.Context, t *testing.T, n int32) {
	t.Helper()
	budget := &policyv1.PodDisruptionBudget{}
	if err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		err := d.Get(ctx, types.NamespacedName{Namespace: system, Name: "tombolo-operator"}, budget)
		s := budget.Status
		return s.ObservedGeneration == budget.Generation && s.DisruptionsAllowed == n && len(s.DisruptedPods) == 0, err
	}); err != nil {
		t.Fatalf("the budget is %+v, want %d disruptions allowed: %v", budget.Status, n, err)
	}
}

// evict does what `kubectl drain` does with a pod.
func (d drained) evict(ctx context.Context, pod *corev1.Pod) error {
	return d.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{DeleteOptions: &metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}})
}
