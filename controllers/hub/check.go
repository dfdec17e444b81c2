package hub

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// checkTimeout is how long the hub may take to answer one request. It is long for an API server,
// and short enough that an outage shows soon.
const checkTimeout = 3 * time.Second

// cachedKinds are the kinds that we read on the hub.
func cachedKinds() []client.Object {
	return []client.Object{
		&v1alpha1.Member{}, &v1alpha1.GatewayNode{}, &v1alpha1.ExportedService{},
		&discoveryv1.EndpointSlice{}, &coordinationv1.Lease{},
	}
}

func cachedLists() []client.ObjectList {
	return []client.ObjectList{
		&v1alpha1.MemberList{}, &v1alpha1.GatewayNodeList{}, &v1alpha1.ExportedServiceList{},
		&discoveryv1.EndpointSliceList{}, &coordinationv1.LeaseList{},
	}
}

// probe asks whether the hub is there, lets us in and belongs to our clusterset, by one read of its
// namespace. A Status without a reason means yes.
func (a access) probe(ctx context.Context, reader client.Reader) Status {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	namespace := &corev1.Namespace{}
	if err := reader.Get(ctx, client.ObjectKey{Name: a.namespace}, namespace); err != nil {
		if apierrors.IsNotFound(err) {
			return Status{v1alpha1.ReasonNotAuthoritative, fmt.Sprintf(
				"hub %s has no namespace %s: check ClusterSet.spec.hub.server and the key namespace in the hub's Secret; what is imported stays",
				a.server, a.namespace)}
		}
		return a.explain(fmt.Sprintf("namespace %s", a.namespace), err)
	}
	id, labelled := namespace.Labels[v1alpha1.LabelClusterSet]
	switch {
	case namespace.DeletionTimestamp != nil:
		return Status{v1alpha1.ReasonNotAuthoritative, fmt.Sprintf(
			"namespace %s of hub %s is being deleted: what is imported stays", a.namespace, a.server)}
	case !labelled:
		return Status{v1alpha1.ReasonNotAuthoritative, fmt.Sprintf(
			"namespace %s of hub %s lacks the label %s, which marks a hub: if it is one, set the label to %s; what is imported stays",
			a.namespace, a.server, v1alpha1.LabelClusterSet, a.clusterSetID)}
	case id != a.clusterSetID:
		return Status{v1alpha1.ReasonNotAuthoritative, fmt.Sprintf(
			"namespace %s of hub %s belongs to clusterset %s, but ClusterSet.spec.clusterSetID is %s: correct one of them; what is imported stays",
			a.namespace, a.server, id, a.clusterSetID)}
	}
	return Status{}
}

// check asks what probe asks. It also asks whether the hub serves the kinds that we need and lets
// us read them.
func (a access) check(ctx context.Context, reader client.Reader) Status {
	if status := a.probe(ctx, reader); status.Reason != "" {
		return status
	}
	for _, list := range cachedLists() {
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		err := reader.List(ctx, list, client.InNamespace(a.namespace), client.Limit(1))
		cancel()
		if err != nil {
			return a.explain(fmt.Sprintf("%T", list), err)
		}
	}
	return Status{}
}

// explain returns the status for an error of the hub or the network when we read what.
func (a access) explain(what string, err error) Status {
	what = strings.TrimSuffix(what[strings.LastIndexByte(what, '.')+1:], "List")
	var unknownAuthority x509.UnknownAuthorityError
	switch {
	case apierrors.IsUnauthorized(err):
		return Status{v1alpha1.ReasonUnauthorized, fmt.Sprintf(
			"hub %s refuses the token: put a valid token of ServiceAccount %s into the hub's Secret; what is imported stays",
			a.server, clusterset.MemberServiceAccount(a.cluster))}
	case apierrors.IsForbidden(err):
		return Status{v1alpha1.ReasonUnauthorized, fmt.Sprintf(
			"hub %s does not let us read %s in namespace %s: bind ServiceAccount %s to Role tombolo-member there, and check that the token is its own",
			a.server, what, a.namespace, clusterset.MemberServiceAccount(a.cluster))}
	case meta.IsNoMatchError(err), apierrors.IsNotFound(err):
		return Status{v1alpha1.ReasonCRDsMissing, fmt.Sprintf(
			"hub %s does not serve the kind %s: install tombolo's kinds there with `kubectl apply -k config/hub`", a.server, what)}
	case errors.As(err, &unknownAuthority):
		return Status{v1alpha1.ReasonUnreachable, fmt.Sprintf(
			"key ca.crt in the hub's Secret does not match the certificate of hub %s: put the hub's own ca.crt there; what is imported stays",
			a.server)}
	}
	cause := rootCause(err).Error()
	if errors.Is(err, context.DeadlineExceeded) {
		cause = fmt.Sprintf("no answer within %v", checkTimeout)
	}
	return Status{v1alpha1.ReasonUnreachable, fmt.Sprintf(
		"hub %s cannot be reached (%s): check ClusterSet.spec.hub.server and the network; what is imported stays", a.server, cause)}
}

// rootCause is the innermost error. It says what went wrong without ports and times, which would
// make every message a new one.
func rootCause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
