// Package portprobe finds out, before tombolo is installed, whether its UDP ports are free on nodes and
// whether packets to them pass between nodes and between clusters. It does so by short-lived pods in
// the nodes' network, in a namespace of their own.
package portprobe

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/apply"
	"github.com/tombolo-net/tombolo/cli/testbed"
)

// Ports that tombolo takes unless the ClusterSet names others.
const (
	VXLAN     = 7473
	WireGuard = 51820
)

// starting is how long pods may take to start, images included.
const starting = 2 * time.Minute

// Cluster is one in which pods are made.
type Cluster struct {
	*access.Cluster
	// Nodes get a pod each.
	Nodes []corev1.Node // required

	namespace string
	pods      map[string]*corev1.Pod // by node, once they have started
}

// Make makes the pods, and returns when they have started. Remove removes them, also after an error.
func (c *Cluster) Make(ctx context.Context, image string) error {
	ctx, stop := context.WithTimeout(ctx, starting)
	defer stop()
	c.namespace, c.pods = "tombolo-test-"+utilrand.String(5), map[string]*corev1.Pod{}
	objects := []client.Object{&corev1.Namespace{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: c.namespace, Labels: map[string]string{testbed.Label: "true",
			"pod-security.kubernetes.io/enforce": "privileged"}}, // for hostNetwork
	}}
	for i := range c.Nodes {
		objects = append(objects, c.pod(c.Nodes[i].Name, image))
	}
	if err := apply.Objects(ctx, c, objects...); err != nil {
		return err
	}
	why := errors.New("the pods have not started")
	err := wait.PollUntilContextCancel(ctx, 300*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		var all corev1.PodList
		if err := c.List(ctx, &all, client.InNamespace(c.namespace)); err != nil {
			return false, err
		}
		for i := range all.Items {
			p := &all.Items[i]
			if why = notStarted(p); why != nil {
				return false, nil //nolint:nilerr // it is told when the time is over
			}
			c.pods[p.Spec.NodeName] = p
		}
		return len(c.pods) == len(c.Nodes), nil
	})
	return errors.Join(err, why)
}

// notStarted says which container has neither started nor ended; nil: all have.
func notStarted(p *corev1.Pod) error {
	if len(p.Status.ContainerStatuses) < len(p.Spec.Containers) {
		return fmt.Errorf("pod %s/%s has not started", p.Namespace, p.Name)
	}
	for _, s := range p.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil {
			return fmt.Errorf("pod %s/%s: %s %s", p.Namespace, p.Name, w.Reason, w.Message)
		}
	}
	return nil
}

// pod has a client, and a server for each port.
func (c *Cluster) pod(node, image string) *corev1.Pod {
	p := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "probe-" + node, Labels: map[string]string{testbed.Label: "true"}},
		Spec: corev1.PodSpec{
			NodeName: node, HostNetwork: true, RestartPolicy: corev1.RestartPolicyNever,
			TerminationGracePeriodSeconds: ptr.To[int64](1), AutomountServiceAccountToken: ptr.To(false),
			Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](65532),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		},
	}
	add := func(name string, args ...string) {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: name, Image: image, ImagePullPolicy: corev1.PullIfNotPresent, Args: args,
			TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
			SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}})
	}
	add("client", "echo", "serve", "--port=0", "--udp-only")
	for _, port := range []uint16{VXLAN, WireGuard} {
		add(serverName(port), "echo", "serve", fmt.Sprintf("--port=%d", port), "--udp-only")
	}
	return p
}

func serverName(port uint16) string { return fmt.Sprintf("udp-%d", port) }

// Remove removes everything, also if ctx has ended, and waits until the ports are free again.
func (c *Cluster) Remove(ctx context.Context) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer stop()
	err := c.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: c.namespace}})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting namespace %s: %w (kubectl delete namespace -l %s=true removes it)", c.namespace, err, testbed.Label)
	}
	err = wait.PollUntilContextCancel(ctx, 300*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		var all corev1.PodList
		err := c.List(ctx, &all, client.InNamespace(c.namespace))
		return len(all.Items) == 0, err
	})
	if err != nil {
		return fmt.Errorf("waiting for the end of the pods in namespace %s: %w", c.namespace, err)
	}
	return nil
}
