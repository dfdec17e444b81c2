package clusterset

import (
	"testing"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func TestVIPRoom(t *testing.T) {
	type counts = map[v1alpha1.ClusterID]uint64
	three := []v1alpha1.ClusterID{"east", "north", "west"} // 254 addresses: 42 are kept for each
	for _, test := range []struct {
		name    string
		held    counts
		cluster v1alpha1.ClusterID
		want    bool
	}{
		{"an empty block", nil, "west", true},
		{"half of it", counts{"west": 127}, "west", true},
		{"until only what is kept for others is free", counts{"west": 169}, "west", true},
		{"what is kept for others is not his", counts{"west": 170}, "west", false},
		{"theirs it is", counts{"west": 170}, "east", true},
		{"theirs it is until the last", counts{"west": 170, "north": 42, "east": 41}, "east", true},
		{"what others use is not kept for them", counts{"west": 160, "north": 42, "east": 50}, "west", true},
		{"who has his part gets no more when the rest is kept", counts{"west": 160, "north": 60}, "north", false},
		{"a cluster that is no member any more", counts{"gone": 200, "west": 42}, "west", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := VIPRoom(254, test.held, test.cluster, func() []v1alpha1.ClusterID { return three }); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// However many a hostile cluster takes, each other member gets what is kept for it.
func TestVIPRoomOfTheHonest(t *testing.T) {
	members := []v1alpha1.ClusterID{"east", "north", "west"}
	held := map[v1alpha1.ClusterID]uint64{}
	take := func(cluster v1alpha1.ClusterID) uint64 {
		for held["west"]+held["east"]+held["north"] < 254 && VIPRoom(254, held, cluster, func() []v1alpha1.ClusterID { return members }) {
			held[cluster]++
		}
		return held[cluster]
	}
	if west, east, north := take("west"), take("east"), take("north"); west != 170 || east != 42 || north != 42 {
		t.Errorf("west has %d, east %d, north %d", west, east, north)
	}
}
