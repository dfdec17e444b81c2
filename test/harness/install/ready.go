package install

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// restConfig is how to reach the cluster of a context.
func (i *installation) restConfig(name string) (*rest.Config, error) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: i.Kubeconfig}, &clientcmd.ConfigOverrides{CurrentContext: name}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig for %s: %w", name, err)
	}
	return config, nil
}

// poll repeats ready until it returns nil or the installation takes too long.
func poll(ctx context.Context, ready func(context.Context) error) error {
	_, err := shell.Eventually(ctx, timeout, func(ctx context.Context) (string, error) { return "", ready(ctx) })
	return err
}

// waitLinks returns when the cluster is connected to the hub and reaches all others that have an IP
// family in common with it.
func (i *installation) waitLinks(ctx context.Context, c Cluster) error {
	config, err := i.restConfig(c.Name)
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("preparing client: %w", err)
	}
	resource := func(name string) dynamic.ResourceInterface {
		return client.Resource(schema.GroupVersionResource{Group: group, Version: "v1alpha1", Resource: name})
	}
	return poll(ctx, func(ctx context.Context) error {
		set, err := resource("clustersets").Get(ctx, "default", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if err := isTrue(set, "HubConnected"); err != nil {
			return err
		}
		others, err := resource("remoteclusters").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if want := len(i.Clusters) - 1; len(others.Items) != want {
			return fmt.Errorf("it knows %d other clusters, not %d", len(others.Items), want)
		}
		for _, other := range others.Items {
			if !i.shareFamily(c, other.GetName()) {
				continue
			}
			if err := isTrue(&other, "Reachable"); err != nil {
				return err
			}
		}
		return i.agentsReady(ctx, c)
	})
}

// shareFamily tells whether two clusters have an IP family in common.
func (i *installation) shareFamily(c Cluster, other string) bool {
	families := map[bool]bool{} // IPv4 or not
	for _, p := range c.PodCIDRs {
		families[p.Addr().Is4()] = true
	}
	for _, o := range i.Clusters {
		if o.Name == other {
			return slices.ContainsFunc(o.PodCIDRs, func(p netip.Prefix) bool { return families[p.Addr().Is4()] })
		}
	}
	return true
}

// agentsReady returns nil once every node of the cluster has a dataplane and all of tombolo's pods
// are ready.
func (i *installation) agentsReady(ctx context.Context, c Cluster) error {
	config, err := i.restConfig(c.Name)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("preparing client: %w", err)
	}
	pods, err := client.CoreV1().Pods(memberNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	if len(pods.Items) < c.Nodes+2 {
		return fmt.Errorf("tombolo has %d pods: an operator, a gateway and %d dataplanes are expected", len(pods.Items), c.Nodes)
	}
	for _, pod := range pods.Items {
		if !podReady(&pod) {
			return fmt.Errorf("pod %s is not ready; its log may say why", pod.Name)
		}
	}
	return nil
}

func podReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// isTrue returns what an object's condition says unless it is True.
func isTrue(object *unstructured.Unstructured, condition string) error {
	conditions, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
	if err != nil {
		return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
	}
	for _, c := range conditions {
		c, ok := c.(map[string]any)
		if !ok || c["type"] != condition {
			continue
		}
		if c["status"] == "True" {
			return nil
		}
		return fmt.Errorf("%s %s: %s is %v: %v: %v", object.GetKind(), object.GetName(), condition, c["status"], c["reason"], c["message"])
	}
	return fmt.Errorf("%s %s has no condition %s", object.GetKind(), object.GetName(), condition)
}
