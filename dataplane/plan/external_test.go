package plan

import (
	"fmt"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Only the operator says what is external, and only of its own cluster.
func TestExternalOf(t *testing.T) {
	made := func(cluster string, external bool, family discoveryv1.AddressType, addresses ...string) *discoveryv1.EndpointSlice {
		s := slice(cluster, family, nil)
		for _, a := range addresses {
			s.Endpoints = append(s.Endpoints, ready(a))
		}
		if external {
			s.Labels[v1alpha1.LabelEndpoints] = v1alpha1.EndpointsExternal
		}
		return s
	}
	forged := made("west", true, "IPv4", "10.2.9.9")
	forged.Labels[discoveryv1.LabelManagedBy] = "me"
	all := []*discoveryv1.EndpointSlice{
		made("west", true, "IPv4", "10.2.9.2", "10.2.9.1", "10.2.9.2", "x"), made("west", true, "IPv6", "fd02::1"),
		made("west", false, "IPv4", "10.2.0.1"), made("east", true, "IPv4", "10.1.0.1", "10.2.0.2"), forged,
	}
	if got := fmt.Sprint(ExternalOf("west", all)); got != "[10.2.9.1 10.2.9.2 fd02::1]" {
		t.Error(got)
	}
}
