// Package peers owns how controllers of policies read which clusters there are: the ClusterSet, which
// says what this one is, and the RemoteClusters.
package peers

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
)

// Read returns the ClusterSet, nil if there is none, and the other members as they are in the cache:
// the caller must not change them.
func Read(ctx context.Context, reader client.Reader) (*v1alpha1.ClusterSet, []v1alpha1.RemoteCluster, error) {
	set, err := optional.ClusterSet(ctx, reader)
	if err != nil {
		return nil, nil, err
	}
	remotes := &v1alpha1.RemoteClusterList{}
	if err := reader.List(ctx, remotes, client.UnsafeDisableDeepCopy); err != nil {
		return nil, nil, fmt.Errorf("listing RemoteClusters: %w", err)
	}
	return set, remotes.Items, nil
}
