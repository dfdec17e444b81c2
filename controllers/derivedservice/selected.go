package derivedservice

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// choice is whether an import gets a derived Service.
type choice int

const (
	no choice = iota
	yes
	// unclear means that a selector cannot be read.
	unclear
)

// selected tells whether ClusterSet.spec.derivedServices selects the import. It makes an event of a
// selector that cannot be read.
func (r *Reconciler) selected(ctx context.Context, set *v1alpha1.ClusterSet, owner *mcsv1beta1.ServiceImport) (choice, error) {
	options := set.Spec.DerivedServices
	if options == nil || !mcs.Ours(owner) {
		return no, nil
	}
	namespace, err := optional.GetUndeleted[corev1.Namespace](ctx, r.Client, client.ObjectKey{Name: owner.Namespace})
	if err != nil {
		return no, err
	}
	inNamespace, namespaceErr := clusterset.Selected(options.NamespaceSelector, namespace)
	itself, importErr := matches(options.ImportSelector, owner)
	for field, err := range map[string]error{"namespaceSelector": namespaceErr, "importSelector": importErr} {
		if err != nil {
			r.Events.Eventf(set, nil, corev1.EventTypeWarning, "InvalidSelector", "Derive",
				"ClusterSet.spec.derivedServices.%s is not a valid label selector: correct it; until then derived Services stay as they are: %v", field, err)
			return unclear, nil
		}
	}
	if inNamespace && itself {
		return yes, nil
	}
	return no, nil
}

func matches(selector *metav1.LabelSelector, owner *mcsv1beta1.ServiceImport) (bool, error) {
	if selector == nil {
		return true, nil
	}
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return false, err
	}
	return parsed.Matches(labels.Set(owner.Labels)), nil
}
