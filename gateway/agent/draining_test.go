package agent

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/keyfile"
)

// gatewayNode is a Node with the gateways' label, changed by change.
func gatewayNode(change func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: "east-1", Labels: map[string]string{v1alpha1.LabelGateway: "true"}, Annotations: map[string]string{},
	}}
	if change != nil {
		change(n)
	}
	return n
}

func TestDrainingCondition(t *testing.T) {
	tainted := func(key string) func(*corev1.Node) {
		return func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "other"}, {Key: key}} }
	}
	annotated := func(value string) func(*corev1.Node) {
		return func(n *corev1.Node) { n.Annotations[v1alpha1.AnnotationGatewayDrain] = value }
	}
	tests := []struct {
		name    string
		change  func(*corev1.Node)
		phase   phase
		reason  string
		message string
	}{
		{"in use", nil, running, "NotDraining", ""},
		{"another taint", tainted("node.kubernetes.io/not-ready"), running, "NotDraining", ""},
		{"cordoned", func(n *corev1.Node) { n.Spec.Unschedulable = true }, running, "NodeUnschedulable", "kubectl uncordon east-1"},
		{"asked for", annotated("true"), running, "DrainRequested", "annotation clusterset.tombolo.dev/gateway-drain=true"},
		{"asked for no more", annotated("false"), running, "NotDraining", ""},
		{"cluster autoscaler", tainted("ToBeDeletedByClusterAutoscaler"), running, "NodeRemoval", "ToBeDeletedByClusterAutoscaler"},
		{"Karpenter", tainted("karpenter.sh/disrupted"), running, "NodeRemoval", "karpenter.sh/disrupted"},
		{"shutdown", tainted("node.cloudprovider.kubernetes.io/shutdown"), running, "NodeShutdown", "node.cloudprovider.kubernetes.io/shutdown"},
		{"without label", func(n *corev1.Node) { n.Labels = nil }, running, "LabelRemoved", "clusterset.tombolo.dev/gateway=true"},
		{"label false", func(n *corev1.Node) { n.Labels[v1alpha1.LabelGateway] = "false" }, running, "LabelRemoved", "node east-1"},
		{"stopping", nil, stopping, "AgentStopping", "node east-1"},
		{"starting", nil, starting, "AgentStarting", "node east-1"},
		{"without label and stopping", func(n *corev1.Node) { n.Labels = nil }, stopping, "LabelRemoved", "node east-1"},
		{"drained and stopping", func(n *corev1.Node) { n.Spec.Unschedulable = true }, stopping, "NodeUnschedulable", "uncordon"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := drainingCondition(gatewayNode(test.change), test.phase)
			wantStatus := metav1.ConditionTrue
			if test.reason == "NotDraining" {
				wantStatus = metav1.ConditionFalse
			}
			if got.Type != "Draining" || got.Status != wantStatus || got.Reason != test.reason || !strings.Contains(got.Message, test.message) {
				t.Errorf("got %+v, want %s %s with %q", got, wantStatus, test.reason, test.message)
			}
			if len(got.Message) > 200 {
				t.Errorf("the message has %d characters: %s", len(got.Message), got.Message)
			}
		})
	}
}

// The next agent clears what the one before it said when it ended, after its first good pass.
func TestNextDraining(t *testing.T) {
	condition := func(status metav1.ConditionStatus, reason string) []metav1.Condition {
		return []metav1.Condition{{Type: v1alpha1.ConditionDraining, Status: status, Reason: reason}}
	}
	good := &tunnelResult{planned: true}
	tests := []struct {
		name   string
		before []metav1.Condition
		phase  phase
		result *tunnelResult
		want   string
	}{
		{"first of all", nil, starting, nil, "AgentStarting"},
		{"started again, no pass yet", condition("True", "AgentStopping"), starting, nil, "AgentStopping"},
		{"started again, a pass failed", condition("True", "AgentStopping"), starting, &tunnelResult{err: errors.New("busy")}, "AgentStopping"},
		{"started again, waits", condition("True", "AgentStopping"), starting, &tunnelResult{pending: "no lane"}, "AgentStopping"},
		{"started again, works", condition("True", "AgentStopping"), running, good, "NotDraining"},
		{"uncordoned, a pass failed", condition("True", "NodeUnschedulable"), running, &tunnelResult{err: errors.New("busy")}, "NotDraining"},
		{"killed and started again, no pass yet", condition("False", "NotDraining"), starting, nil, "NotDraining"},
		{"booted, no link is up", condition("False", "NotDraining"), starting, good, "AgentStarting"},
		{"stops", condition("False", "NotDraining"), stopping, good, "AgentStopping"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := &v1alpha1.GatewayNode{Status: v1alpha1.GatewayNodeStatus{Conditions: test.before}}
			if got := nextDraining(g, gatewayNode(nil), test.phase, test.result); got.Reason != test.want {
				t.Errorf("got %+v, want %s", got, test.want)
			}
		})
	}
}

// Some time after the node has lost the label, its own packets leave its tunnels. They come back with
// the label.
func TestNoteLabel(t *testing.T) {
	a := New(Config{NodeName: "east-1", Namespace: "ns", Kernel: (&memoryKernel{}).kernel()})
	begin := time.Now()
	for _, step := range []struct {
		at       time.Duration
		labelled bool
		leaving  bool
	}{{0, true, false}, {time.Second, false, false}, {2 * time.Second, false, false}, {3 * time.Second, false, true}, {4 * time.Second, true, false},
		{5 * time.Second, false, false}} {
		node := gatewayNode(func(n *corev1.Node) {
			if !step.labelled {
				n.Labels = nil
			}
		})
		a.noteLabel(node, begin.Add(step.at))
		if got := a.leaving.Load(); got != step.leaving {
			t.Errorf("after %s: leaving is %t", step.at, got)
		}
	}
}

// An agent that ends waits for others to leave it if there are others, and for an API server that
// does not answer not for long.
func TestLeave(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	gateway := func(name string) client.Object {
		return &v1alpha1.GatewayNode{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Status: v1alpha1.GatewayNodeStatus{Lane: new(v1alpha1.Lane)}}
	}
	tests := []struct {
		name     string
		gateways []client.Object
		silent   bool // the API server does not answer
		node     func(*corev1.Node)
		want     time.Duration
		leaving  bool
	}{
		{name: "alone", gateways: []client.Object{gateway("east-1")}},
		{name: "with a sibling", gateways: []client.Object{gateway("east-1"), gateway("east-2")}, want: 2 * time.Second},
		{name: "alone, nobody answers", gateways: []client.Object{gateway("east-1")}, silent: true, want: 3 * time.Second},
		{name: "with a sibling, nobody answers", gateways: []client.Object{gateway("east-1"), gateway("east-2")}, silent: true, want: 3 * time.Second},
		{name: "before it has a GatewayNode"},
		{name: "no gateway any more", gateways: []client.Object{gateway("east-1"), gateway("east-2")}, node: func(n *corev1.Node) { n.Labels = nil },
			want: 2 * time.Second, leaving: true},
		{name: "no gateway any more, and alone", gateways: []client.Object{gateway("east-1")}, node: func(n *corev1.Node) { n.Labels = nil }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				written := false
				c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(append(test.gateways, gatewayNode(test.node))...).
					WithInterceptorFuncs(interceptor.Funcs{
						SubResourceApply: func(ctx context.Context, _ client.Client, _ string, o runtime.ApplyConfiguration, _ ...client.SubResourceApplyOption) error {
							if test.silent {
								<-ctx.Done()
								return ctx.Err()
							}
							content, err := json.Marshal(o)
							written = written || (strings.Contains(string(content), "AgentStopping") || strings.Contains(string(content), "LabelRemoved"))
							return err
						},
					}).Build()
				a := New(Config{Client: c, Secrets: c, Key: keyfile.At(filepath.Join(t.TempDir(), "gateway.key")), NodeName: "east-1", Namespace: "ns", Kernel: (&memoryKernel{}).kernel()})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { defer close(done); a.status.Run(ctx) }()
				begin := time.Now()
				a.leave(ctx)
				if diff := cmp.Diff(test.want, time.Since(begin).Round(100*time.Millisecond)); diff != "" {
					t.Errorf("took (-want +got):\n%s", diff)
				}
				if got := a.leaving.Load(); got != test.leaving {
					t.Errorf("it leads its own packets over siblings: %t, want %t", got, test.leaving)
				}
				if !a.prober.draining.Load() {
					t.Error("the probes do not say that it drains")
				}
				if want := !test.silent && test.gateways != nil; written != want {
					t.Errorf("written: %t, want %t", written, want)
				}
				cancel()
				<-done
			})
		})
	}
}
