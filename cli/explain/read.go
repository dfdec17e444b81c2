package explain

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/snapshot"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/explain"
)

// read reads what a cluster holds for the name. What cannot be read is told in the snapshot.
func read(ctx context.Context, cluster *access.Cluster, name explain.Name) explain.Cluster {
	c := explain.Cluster{Snapshot: snapshot.Read(ctx, cluster, cluster.Context)}
	if c.Unreadable != "" {
		return c
	}
	if err := readMore(ctx, cluster, name, &c); err != nil {
		c.Unreadable = err.Error()
	}
	return c
}

func readMore(ctx context.Context, cluster client.Reader, name explain.Name, c *explain.Cluster) error {
	namespace := &corev1.Namespace{}
	if found, err := get(ctx, cluster, client.ObjectKey{Name: name.Namespace}, namespace); err != nil {
		return err
	} else if found {
		c.Namespace = namespace
	}
	service := &corev1.Service{}
	if found, err := get(ctx, cluster, name.Key(), service); err != nil {
		return err
	} else if found {
		c.Service = service
	}
	var (
		servers  corev1.ServiceList
		own      discoveryv1.EndpointSliceList
		pods     corev1.PodList
		policies networkingv1.NetworkPolicyList
		services corev1.ServiceList
	)
	here := client.InNamespace(name.Namespace)
	lists := []struct {
		what    string
		objects client.ObjectList
		options []client.ListOption
	}{
		{"EndpointSlices", &own, []client.ListOption{here, client.MatchingLabels{discoveryv1.LabelServiceName: name.Service}}},
		{"NetworkPolicies", &policies, []client.ListOption{here}},
		{"Services", &services, nil},
		{"the DNS Service", &servers, []client.ListOption{client.InNamespace(metav1.NamespaceSystem), client.MatchingLabels{clusterset.DNSServiceLabel: clusterset.DNSServiceApp}}},
	}
	if c.Service != nil && len(c.Service.Spec.Selector) > 0 {
		lists = append(lists, struct {
			what    string
			objects client.ObjectList
			options []client.ListOption
		}{"Pods", &pods, []client.ListOption{here, client.MatchingLabels(c.Service.Spec.Selector)}})
	}
	for _, l := range lists {
		if err := cluster.List(ctx, l.objects, l.options...); err != nil {
			return fmt.Errorf("reading %s: %w", l.what, err)
		}
	}
	c.Slices = slices.DeleteFunc(own.Items, func(s discoveryv1.EndpointSlice) bool {
		return s.Labels[discoveryv1.LabelManagedBy] == v1alpha1.ManagedBy
	})
	c.NetworkPolicies, c.Pods, c.DNSServer = policies.Items, pods.Items, dnsServer(servers.Items)
	c.Claims = claims(services.Items)
	return nil
}

// claims are the addresses that Services have of their own choice.
func claims(all []corev1.Service) (found []explain.Claim) {
	for i := range all {
		s := &all[i]
		add := func(field, address string) {
			if a, err := netip.ParseAddr(address); err == nil {
				found = append(found, explain.Claim{Service: s.Namespace + "/" + s.Name, Field: field, Address: a})
			}
		}
		for _, a := range s.Spec.ExternalIPs {
			add("spec.externalIPs", a)
		}
		for _, l := range s.Status.LoadBalancer.Ingress {
			add("status.loadBalancer", l.IP)
		}
	}
	return found
}

// get reads an object, and tells whether there is one.
func get(ctx context.Context, cluster client.Reader, key client.ObjectKey, into client.Object) (found bool, err error) {
	err = cluster.Get(ctx, key, into)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("reading %T %s: %w", into, key, err)
	}
	return err == nil, nil
}
