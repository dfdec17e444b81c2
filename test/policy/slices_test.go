//go:build integration

package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

const (
	outside    = "outside what cluster"
	noAddress  = "where no other cluster can reach it"
	noService  = "does not say whose endpoints it has"
	asService  = "remove that label"
	asHostname = "publish endpoints by IP address"

	// What the API server itself says of any slice.
	invalid = "is invalid: endpoints[0].addresses[0]"
)

// addCIDRs makes the cluster's Member on the hub.
func addCIDRs(t *testing.T, cluster string, index int32, cidrs ...v1alpha1.CIDR) {
	t.Helper()
	create(t, member(func(m *v1alpha1.Member) {
		m.Namespace, m.Name = hub, cluster
		m.Spec.Index, m.Spec.CIDRs = index, cidrs
	}))
}

// hubSlice is a slice that the cluster publishes.
func hubSlice(cluster string, family discoveryv1.AddressType, addresses ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{ObjectMeta: hubMeta(hub, cluster+".slice", cluster), AddressType: family}
	s.Labels[v1alpha1.LabelNamespace], s.Labels[v1alpha1.LabelServiceName] = "shop", "web"
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
	}
	return s
}

func TestMemberPublishesInsideItsCIDRs(t *testing.T) {
	east := addMember(t, hub, "east")
	addCIDRs(t, "east", 1, "10.1.0.0/16", "192.0.2.0/24", "fd00:1::/64")
	addCIDRs(t, "west", 2, "10.2.0.0/16", "fd00:2::/64")
	label := func(key, value string) func(*discoveryv1.EndpointSlice) {
		return func(s *discoveryv1.EndpointSlice) { s.Labels[key] = value }
	}
	unlabel := func(key string) func(*discoveryv1.EndpointSlice) {
		return func(s *discoveryv1.EndpointSlice) { delete(s.Labels, key) }
	}
	for _, tc := range []struct {
		name  string
		slice *discoveryv1.EndpointSlice
		edit  func(*discoveryv1.EndpointSlice)
		want  string
	}{
		{"its own", hubSlice("east", "IPv4", "10.1.0.7", "192.0.2.1"), nil, ""},
		{"its own, IPv6", hubSlice("east", "IPv6", "fd00:1::7"), nil, ""},
		{"no endpoints", hubSlice("east", "IPv4"), nil, ""},
		{"another's", hubSlice("east", "IPv4", "10.1.0.7", "10.2.0.7"), nil, outside},
		{"nobody's", hubSlice("east", "IPv4", "8.8.8.8"), nil, outside},
		{"nobody's, IPv6", hubSlice("east", "IPv6", "fd00:3::7"), nil, outside},
		{"in a further address", hubSlice("east", "IPv4", "10.1.0.7"), func(s *discoveryv1.EndpointSlice) {
			s.Endpoints[0].Addresses = append(s.Endpoints[0].Addresses, "10.2.0.7")
		}, outside},
		{"loopback", hubSlice("east", "IPv4", "127.0.0.1"), nil, invalid},
		{"link-local", hubSlice("east", "IPv4", "169.254.169.254"), nil, invalid},
		{"link-local, IPv6", hubSlice("east", "IPv6", "fe80::1"), nil, invalid},
		{"multicast", hubSlice("east", "IPv4", "239.1.1.1"), nil, noAddress},
		{"IPv4 as IPv6", hubSlice("east", "IPv6", "::ffff:10.1.0.7"), nil, invalid},
		{"host names", hubSlice("east", "FQDN", "web.example"), nil, asHostname},
		{"without namespace", hubSlice("east", "IPv4"), unlabel(v1alpha1.LabelNamespace), noService},
		{"without name", hubSlice("east", "IPv4"), unlabel(v1alpha1.LabelServiceName), noService},
		{"with an empty name", hubSlice("east", "IPv4"), label(v1alpha1.LabelServiceName, ""), noService},
		{"as the hub's own Service", hubSlice("east", "IPv4"), label(discoveryv1.LabelServiceName, "web"), asService},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.edit != nil {
				tc.edit(tc.slice)
			}
			err := east.Create(t.Context(), tc.slice, client.DryRunAll)
			if tc.want != invalid {
				checkForbidden(t, err, tc.want)
			} else if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), invalid) {
				t.Errorf("got %v, want it %s", err, invalid)
			}
		})
	}
	t.Run("update", func(t *testing.T) {
		mine := hubSlice("east", "IPv4", "10.1.0.7")
		create(t, mine)
		mine.Endpoints[0].Addresses[0] = "10.2.0.7"
		checkForbidden(t, east.Update(t.Context(), mine, client.DryRunAll), outside)
		checkForbidden(t, east.Patch(t.Context(), mine, merge(`{"metadata":{"labels":{"kubernetes.io/service-name":"kubernetes"}}}`), client.DryRunAll), asService)
	})
}

// An account that is not a member's is not concerned, on the hub or elsewhere. Nor is a member that
// has no Member object yet.
func TestOrdinarySlices(t *testing.T) {
	addCIDRs(t, "east", 1, "10.1.0.0/16")
	for _, namespace := range []string{hub, metav1.NamespaceDefault} {
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: namespace, Name: "web", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
			AddressType: "IPv4", Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"8.8.8.8"}}},
		}
		checkForbidden(t, admin.Create(t.Context(), slice, client.DryRunAll), "")
	}
	north := addMember(t, hub, "north")
	checkForbidden(t, north.Create(t.Context(), hubSlice("north", "IPv4", "8.8.8.8"), client.DryRunAll), "")
}

// The worst case stays below CEL's cost limit: the largest slice, and a Member with as many CIDRs
// as it may have where only the last one fits.
func TestLargestSlice(t *testing.T) {
	var cidrs []v1alpha1.CIDR
	for i := range 64 {
		cidrs = append(cidrs, v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", i)))
	}
	east := addMember(t, hub, "east")
	addCIDRs(t, "east", 1, cidrs...)
	slice := hubSlice("east", "IPv4")
	for i := range 1000 {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.63.%d.%d", i/250, i%250+1)}})
	}
	checkForbidden(t, east.Create(t.Context(), slice.DeepCopy(), client.DryRunAll), "")
	slice.Endpoints[999].Addresses[0] = "10.64.0.1"
	checkForbidden(t, east.Create(t.Context(), slice, client.DryRunAll), outside)
}

// What fifty Members add to a write is logged, and not asserted: it is a few milliseconds.
func TestManyMembers(t *testing.T) {
	east := addMember(t, hub, "east")
	addCIDRs(t, "east", 1, "10.1.0.0/16")
	slice := hubSlice("east", "IPv4")
	for i := range 100 {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.1.0.%d", i+1)}})
	}
	measure := func(c client.Client) time.Duration {
		var took []time.Duration
		for range 50 {
			start := time.Now()
			checkForbidden(t, c.Create(t.Context(), slice.DeepCopy(), client.DryRunAll), "")
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		return took[len(took)/2]
	}
	one := measure(east)
	for i := range 49 {
		addCIDRs(t, fmt.Sprint("member-", i), int32(i+2), v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", i+2)))
	}
	t.Logf("a slice of 100 endpoints: admin %v, one Member %v, fifty Members %v", measure(admin), one, measure(east))
}
