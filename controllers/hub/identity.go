package hub

import (
	"context"
	"fmt"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// checkIdentity asks whether this cluster uses its ID alone. The first cluster that connects under
// an ID makes a Lease with its own identity, which the hub lets no member change. A Status without
// a reason means yes.
func (s *session) checkIdentity(ctx context.Context) (Status, error) {
	key := client.ObjectKey{Namespace: s.access.namespace, Name: clusterset.IdentityLeaseName(s.access.cluster)}
	lease, err := optional.Get[coordinationv1.Lease](ctx, s.reader, key)
	if err != nil {
		return Status{}, err
	}
	if lease == nil {
		if lease, err = s.claim(ctx, key); err != nil {
			return s.claimFailed(key, err), nil
		}
	}
	if holder := ptr.Deref(lease.Spec.HolderIdentity, ""); holder != s.access.identity {
		return Status{v1alpha1.ReasonClusterIDInUse, fmt.Sprintf(
			"the cluster whose namespace kube-system has UID %s uses the ID %s; ours has %s: choose another clusterID, or stop that cluster and delete Lease %s on hub %s",
			holder, s.access.cluster, s.access.identity, key, s.access.server)}, nil
	}
	return Status{}, nil
}

// claim makes the Lease, or returns the one that somebody else has just made.
func (s *session) claim(ctx context.Context, key client.ObjectKey) (*coordinationv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace, Name: key.Name,
			Labels: map[string]string{v1alpha1.LabelSourceCluster: string(s.access.cluster)},
		},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To(s.access.identity)},
	}
	err := s.direct.Create(ctx, lease)
	if apierrors.IsAlreadyExists(err) {
		return lease, s.direct.Get(ctx, key, lease)
	}
	return lease, err
}

func (s *session) claimFailed(key client.ObjectKey, err error) Status {
	if apierrors.IsForbidden(err) {
		return Status{v1alpha1.ReasonUnauthorized, fmt.Sprintf(
			"hub %s does not let us create Lease %s, by which the cluster ID is ours: bind ServiceAccount %s to Role tombolo-member there, and check that the token is its own",
			s.access.server, key, clusterset.MemberServiceAccount(s.access.cluster))}
	}
	return s.access.explain("Lease", err)
}
