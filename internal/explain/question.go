package explain

import (
	"fmt"
	"slices"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Question is what to ask the agent of the client's node first.
func (f *Facts) Question() Question {
	q := Question{Import: f.Name.Key().String(), Server: f.Clusters[0].DNSServer}
	if q.Server != "" {
		q.Names = []string{f.Name.String()}
	}
	return q
}

// Ended tells whether the way of the name ends before any node has a say in it. Then none need be
// asked.
func (f *Facts) Ended() bool {
	cause := Of(*f).Cause
	return cause != nil && slices.Contains([]string{"export", "service", "endpoints", "hub", "import", "clusterset-ip"}, cause.Name)
}

// Knows is an error if the cluster's nodes could not lose that member.
func (c *Cluster) Knows(id v1alpha1.ClusterID) error {
	if c.remote(id) != nil {
		return nil
	}
	if id == c.ID() {
		return fmt.Errorf("cluster %s is the client's own: name another one", id)
	}
	return fmt.Errorf("cluster %s knows no cluster %q: kubectl get remoteclusters", c.ID(), id)
}
