//go:build integration

package policy

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// probe is a write that a policy refuses of user, although RBAC lets that user do anything.
type probe struct {
	policy, user string
	write        func(context.Context, client.Client) error
}

func probes() []probe {
	agents := "system:serviceaccount:" + system + ":"
	gateway, dataplane, operator := agents+"tombolo-gateway", agents+"tombolo-dataplane", agents+"tombolo-operator"
	return []probe{
		{"tombolo-members", "system:serviceaccount:" + hub + ":member-probe", func(ctx context.Context, c client.Client) error {
			return c.Create(ctx, &coordinationv1.Lease{ObjectMeta: hubMeta(hub, "probe", "")}, client.DryRunAll)
		}},
		{"tombolo-member-slices", "system:serviceaccount:" + hub + ":member-probe", func(ctx context.Context, c client.Client) error {
			return c.Create(ctx, hubSlice("probe", "IPv4", "8.8.8.8"), client.DryRunAll)
		}},
		{"tombolo-removed-members", "system:serviceaccount:" + hub + ":member-gone", func(ctx context.Context, c client.Client) error {
			return c.Create(ctx, &coordinationv1.Lease{ObjectMeta: hubMeta(hub, "gone.a", "gone")}, client.DryRunAll)
		}},
		{"tombolo-member-tokens", "system:serviceaccount:" + hub + ":member-probe", func(ctx context.Context, c client.Client) error {
			return requestToken(ctx, c, hub, "probe", time.Hour)
		}},
		{"tombolo-member-exports", "system:serviceaccount:" + hub + ":member-probe", func(ctx context.Context, c client.Client) error {
			return c.Create(ctx, hubExport("probe", "kube-system", "web"), client.DryRunAll)
		}},
		{"tombolo-gateway", gateway, func(ctx context.Context, c client.Client) error {
			return c.Create(ctx, gatewayNode(func(g *v1alpha1.GatewayNode) { g.Name = "probe" }), client.DryRunAll)
		}},
		{"tombolo-gateway-keys", gateway, func(ctx context.Context, c client.Client) error {
			meta := metav1.ObjectMeta{Namespace: system, Name: "tombolo-gateway-keys"}
			return c.Patch(ctx, &corev1.Secret{ObjectMeta: meta}, merge(`{"data":{"probe":""}}`), client.DryRunAll)
		}},
		{"tombolo-gateway-lease", gateway, func(ctx context.Context, c client.Client) error {
			return c.Create(ctx, &coordinationv1.Lease{ObjectMeta: hubMeta(system, "probe", "")}, client.DryRunAll)
		}},
		{"tombolo-gateway-links", gateway, func(ctx context.Context, c client.Client) error {
			remote := &v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: "probe"}}
			return c.Status().Patch(ctx, remote, merge(`{"status":{"links":[{"gateway":"probe"}]}}`), client.DryRunAll)
		}},
		{"tombolo-dataplane", dataplane, labelNode},
		{"tombolo-installation", "admin", func(ctx context.Context, c client.Client) error {
			binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "tombolo-operator"}}
			return c.Patch(ctx, binding, merge(`{"subjects":[]}`), client.DryRunAll)
		}},
		{"tombolo-dataplane-events", dataplane, func(ctx context.Context, c client.Client) error {
			return c.Create(ctx, nodeEvent("probe", "probe"), client.DryRunAll)
		}},
		{"tombolo-nodes", dataplane, func(ctx context.Context, c client.Client) error {
			node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "probe-2", Labels: map[string]string{v1alpha1.LabelGateway: "true"}}}
			return c.Create(ctx, node, client.DryRunAll)
		}},
		{"tombolo-operator", operator, labelNode},
		{"tombolo-operator-slices", operator, func(ctx context.Context, c client.Client) error {
			slice := importedSlice(metav1.NamespaceDefault, "probe")
			slice.Labels = nil
			return c.Create(ctx, slice, client.DryRunAll)
		}},
		{"tombolo-operator-services", operator, func(ctx context.Context, c client.Client) error {
			service := derivedService(metav1.NamespaceDefault, "probe")
			return c.Create(ctx, service, client.DryRunAll)
		}},
		{"tombolo-operator-keys", operator, func(ctx context.Context, c client.Client) error {
			meta := metav1.ObjectMeta{Namespace: system, Name: v1alpha1.GatewayKeysSecret}
			return c.Patch(ctx, &corev1.Secret{ObjectMeta: meta}, merge(`{"data":{"probe":""}}`), client.DryRunAll)
		}},
		{"tombolo-operator-coredns", operator, func(ctx context.Context, c client.Client) error {
			config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "probe"}}
			return c.Patch(ctx, config, merge(`{"data":{"probe":""}}`), client.DryRunAll)
		}},
	}
}

// nodeEvent is an event about a Node.
func nodeEvent(name, node string) *eventsv1.Event {
	return &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name},
		EventTime:  metav1.NowMicro(), ReportingController: "tombolo.dev/test", ReportingInstance: "test",
		Action: "Test", Reason: "Test", Type: corev1.EventTypeNormal,
		Regarding: corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: node},
	}
}

func labelNode(ctx context.Context, c client.Client) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "probe"}}
	return c.Patch(ctx, node, merge(`{"metadata":{"labels":{"a":"b"}}}`), client.DryRunAll)
}

// waitForPolicies waits until every admission policy in config/ is in force, for which the API
// server takes its time.
func waitForPolicies(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	keys := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: v1alpha1.GatewayKeysSecret}}
	for _, object := range []client.Object{
		keys,
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "probe"}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "probe"}},
		member(func(m *v1alpha1.Member) { m.Namespace, m.Name, m.Spec.Index = hub, "probe", 4095 }),
		member(func(m *v1alpha1.Member) { m.Namespace, m.Name, m.Spec.Index, m.Spec.Removed = hub, "gone", 4094, true }),
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: hub, Name: "probe"}},
		&v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: "probe"}, Spec: v1alpha1.RemoteClusterSpec{Index: 9}},
	} {
		if err := admin.Create(ctx, object); err != nil {
			return fmt.Errorf("creating %T to probe with: %w", object, err)
		}
	}
	for _, p := range probes() {
		if err := p.wait(ctx); err != nil {
			return fmt.Errorf("waiting for policy %s: %w", p.policy, err)
		}
	}
	return admin.Delete(ctx, keys)
}

// wait returns when the probe is refused. The error holds what the last write said.
func (p probe) wait(ctx context.Context) error {
	config := rest.CopyConfig(adminConfig)
	config.Impersonate = rest.ImpersonationConfig{UserName: p.user, Groups: []string{"system:masters"}}
	c, err := client.New(config, client.Options{Scheme: newScheme()})
	if err != nil {
		return err
	}
	var last error
	err = wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		last = p.write(ctx, c)
		return apierrors.IsForbidden(last), nil
	})
	if err != nil {
		return fmt.Errorf("%w; last write: %w", err, last)
	}
	return nil
}

// merge is a JSON merge patch (RFC 7386).
func merge(text string) client.Patch { return client.RawPatch(types.MergePatchType, []byte(text)) }
