package endpointslice

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

func TestCameOrWent(t *testing.T) {
	list := func(names ...string) []mcsv1beta1.ClusterStatus {
		var all []mcsv1beta1.ClusterStatus
		for _, name := range names {
			all = append(all, mcsv1beta1.ClusterStatus{Cluster: name})
		}
		return all
	}
	tests := []struct {
		name          string
		before, after []mcsv1beta1.ClusterStatus
		want          []string
	}{
		{"none", nil, nil, nil},
		{"the same, in another order", list("east", "west"), list("west", "east"), nil},
		{"came", list("east"), list("east", "west"), []string{"west"}},
		{"went", list("east", "west"), list("west"), []string{"east"}},
		{"both", list("east", "west"), list("north", "west"), []string{"east", "north"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, cameOrWent(tt.before, tt.after)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
