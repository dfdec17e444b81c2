package serviceexport

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/exportpolicy"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/mcs/pack"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// publication is what the hub should hold of one Service of this cluster. The zero value is
// nothing.
type publication struct {
	export    *v1alpha1.ExportedService // nil: nothing; its slice set follows from how the offer is packed
	service   *corev1.Service
	publisher pack.Publisher
	offer     pack.Offer
	byHand    *handWritten // nil: there are no hand-written slices

	// Why it is nothing.
	fault    clusterset.ExportFault
	selector *metav1.LabelSelector // the one that does not select the namespace
	// unapproved says that the Member does not let the cluster export from the namespace. If there is
	// no fault, the export stays all the same.
	unapproved string
}

// wanted returns what the hub should hold. have is what it holds.
func (r *Reconciler) wanted(ctx context.Context, view hub.View, export *mcsv1beta1.ServiceExport, service *corev1.Service,
	have onHub) (publication, error) {
	set, err := optional.ClusterSet(ctx, r.Client)
	if err != nil {
		return publication{}, err
	}
	member, err := view.Member(ctx, view.Cluster)
	if err != nil {
		return publication{}, err
	}
	policy := Policy{Reader: r.Client, Set: set, Member: member, Removed: view.Removed, Operator: r.Namespace}
	fault, err := policy.Judge(ctx, export, service, have.export != nil)
	switch {
	case err != nil:
		return publication{}, err
	case fault == clusterset.ExportNotSelected:
		return publication{fault: fault, selector: set.Spec.ExportNamespaces}, nil
	case fault == clusterset.ExportNotApproved:
		return publication{fault: fault, unapproved: r.unapproved(member, export.Namespace)}, nil
	case fault != clusterset.ExportAllowed:
		return publication{fault: fault}, nil
	case set == nil: // the connection is about to notice
		return publication{}, &waitingError{"there is no ClusterSet default"}
	case member == nil: // the connection is about to notice
		return publication{}, &waitingError{"the hub has no Member for this cluster"}
	}
	local := &discoveryv1.EndpointSliceList{}
	if err := r.Client.List(ctx, local, client.InNamespace(service.Namespace),
		client.MatchingLabels{discoveryv1.LabelServiceName: service.Name}); err != nil {
		return publication{}, fmt.Errorf("listing EndpointSlices of Service %s/%s: %w", service.Namespace, service.Name, err)
	}
	byHand, err := r.handWritten(ctx, set, service, local.Items, have)
	if err != nil {
		return publication{}, err
	}
	publisher := pack.Publisher{
		Cluster: view.Cluster, HubNamespace: view.Namespace,
		CIDRs: clusterset.Prefixes(member.Spec.CIDRs), EndpointsPerSlice: int(set.Spec.EndpointsPerSlice),
		MaxEndpoints: screen.LimitsOf(member).EndpointsPerService,
	}
	if byHand != nil {
		publisher.Judge = byHand.judge
	}
	policies, err := exportpolicy.In(ctx, r.Client, export.Namespace)
	if err != nil {
		return publication{}, err
	}
	exported := mcs.ExportedServiceFor(view.Cluster, view.Namespace, service, export)
	offer := publisher.Offer(service, local.Items)
	exported.Spec.IPFamilies = publisher.Families(service, offer)
	exported.Spec.Audience = clusterset.AudienceOf(client.ObjectKeyFromObject(export), policies)
	exported.Annotations = byHand.annotations() // which the offer decides
	return publication{
		export:    exported,
		service:   service,
		publisher: publisher,
		offer:     offer,
		byHand:    byHand,

		unapproved: r.unapproved(member, export.Namespace),
	}, nil
}

// unapproved says why the Member does not let this cluster export from the namespace; empty if it
// does.
func (r *Reconciler) unapproved(member *v1alpha1.Member, namespace string) string {
	listed := member.Spec.Namespaces
	return clusterset.ApprovalOf(listed, namespace, r.Namespace).Explain(v1alpha1.ClusterID(member.Name), listed, namespace)
}

// onHub is what the hub holds of one Service of this cluster.
type onHub struct {
	export *v1alpha1.ExportedService // nil: none
	slices []discoveryv1.EndpointSlice
}

func readHub(ctx context.Context, view hub.View, service client.ObjectKey) (onHub, error) {
	export, err := view.OwnExport(ctx, service.Namespace, service.Name)
	if err != nil {
		return onHub{}, err
	}
	slices, err := view.OwnSlices(ctx, service.Namespace, service.Name)
	return onHub{export, slices}, err
}

// change is what to write to the hub.
type change struct {
	before, after *v1alpha1.ExportedService // nil: none
	slices        pack.Packing
}

// changeTo returns what to write so that the hub holds the publication. It changes neither.
func (h onHub) changeTo(want publication) change {
	if want.export == nil {
		return change{before: h.export, slices: pack.Packing{First: pack.Writes{Deletes: h.slices}}}
	}
	packing := want.publisher.Pack(want.service, want.offer, h.slices)
	after := want.export.DeepCopy()
	after.Spec.SliceSet = clusterset.SliceSet(packing.After(h.slices))
	return change{before: h.export, after: after, slices: packing}
}

// exportDiffers tells whether the ExportedService must be written or deleted.
func (c change) exportDiffers() bool {
	if c.before == nil || c.after == nil {
		return c.before != c.after
	}
	return !equality.Semantic.DeepEqual(c.before.Labels, c.after.Labels) ||
		!equality.Semantic.DeepEqual(c.before.Spec, c.after.Spec) || !sameKept(c.before, c.after)
}

func sameKept(a, b *v1alpha1.ExportedService) bool {
	before, had := a.Annotations[v1alpha1.AnnotationKeptEndpoints]
	after, has := b.Annotations[v1alpha1.AnnotationKeptEndpoints]
	return had == has && before == after
}

// none tells whether there is nothing to write.
func (c change) none() bool { return !c.exportDiffers() && c.slices.None() }
