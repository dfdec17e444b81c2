package installation

import (
	"context"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies;validatingadmissionpolicybindings,resourceNames=tombolo-dataplane;tombolo-dataplane-events;tombolo-derived-services;tombolo-gateway;tombolo-gateway-keys;tombolo-gateway-lease;tombolo-gateway-links;tombolo-imported-slices;tombolo-imports;tombolo-installation;tombolo-nodes;tombolo-operator;tombolo-operator-coredns;tombolo-operator-dns;tombolo-operator-keys;tombolo-operator-services;tombolo-operator-slices,verbs=get
// +kubebuilder:rbac:groups="",resources=nodes,verbs=list;patch

// policies are the names of the admission policies of a member cluster (config/rbac). The binding of
// each has the same name.
func policies() []string {
	return []string{
		"tombolo-dataplane", "tombolo-dataplane-events", "tombolo-derived-services",
		"tombolo-gateway", "tombolo-gateway-keys", "tombolo-gateway-lease", "tombolo-gateway-links",
		"tombolo-imported-slices", "tombolo-imports", "tombolo-installation", "tombolo-nodes",
		"tombolo-operator", "tombolo-operator-coredns", "tombolo-operator-dns", "tombolo-operator-keys",
		"tombolo-operator-services", "tombolo-operator-slices",
	}
}

// powerless says which policies do not refuse what they should, and why. A Forbidden error means that
// the operator may not read them.
func (c *Checker) powerless(ctx context.Context) ([]string, error) {
	var problems []string
	for _, name := range policies() {
		policy, binding := &admissionv1.ValidatingAdmissionPolicy{}, &admissionv1.ValidatingAdmissionPolicyBinding{}
		for kind, object := range map[string]client.Object{"ValidatingAdmissionPolicy": policy, "ValidatingAdmissionPolicyBinding": binding} {
			err := c.direct.Get(ctx, client.ObjectKey{Name: name}, object)
			switch {
			case meta.IsNoMatchError(err):
				return []string{kind + " is not served: this Kubernetes is too old, or has turned it off"}, nil
			case apierrors.IsNotFound(err):
				problems = append(problems, fmt.Sprintf("%s %s is missing", kind, name))
			case err != nil:
				return nil, fmt.Errorf("reading %s %s: %w", kind, name, err)
			}
		}
		problems = append(problems, flaws(policy, binding)...)
	}
	slices.Sort(problems)
	if len(problems) > 0 {
		return problems, nil
	}
	return c.ignored(ctx)
}

// flaws says what keeps a policy from refusing everything that it should. Objects without a name say
// nothing: they are missing.
func flaws(policy *admissionv1.ValidatingAdmissionPolicy, binding *admissionv1.ValidatingAdmissionPolicyBinding) []string {
	var problems []string
	if fail := policy.Spec.FailurePolicy; policy.Name != "" && fail != nil && *fail != admissionv1.Fail {
		problems = append(problems, fmt.Sprintf("ValidatingAdmissionPolicy %s has failurePolicy %s instead of Fail", policy.Name, *fail))
	}
	if binding.Name == "" {
		return problems
	}
	about := "ValidatingAdmissionPolicyBinding " + binding.Name
	if actions := binding.Spec.ValidationActions; !slices.Contains(actions, admissionv1.Deny) {
		problems = append(problems, fmt.Sprintf("%s has validationActions %v instead of [Deny]", about, actions))
	}
	if binding.Spec.PolicyName != binding.Name {
		problems = append(problems, fmt.Sprintf("%s is for the policy %q instead of %q", about, binding.Spec.PolicyName, binding.Name))
	}
	if binding.Spec.MatchResources != nil {
		problems = append(problems, about+" has matchResources, which exempt some objects")
	}
	return problems
}

// ignored tries, without effect, to write an annotation of a Node, any. The operator's role allows
// that, and the policy tombolo-operator refuses it. It returns a problem if the API server does not
// refuse.
func (c *Checker) ignored(ctx context.Context) ([]string, error) {
	nodes := &metav1.PartialObjectMetadataList{}
	nodes.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NodeList"))
	if err := c.direct.List(ctx, nodes, client.Limit(1)); err != nil {
		return nil, fmt.Errorf("listing a Node: %w", err)
	}
	if len(nodes.Items) == 0 {
		return nil, nil
	}
	node := &nodes.Items[0]
	node.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Node"))
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"tombolo.refuse.this":""}}}`))
	switch err := c.client.Patch(ctx, node, patch, client.DryRunAll); {
	case err == nil:
		return []string{"ValidatingAdmissionPolicy tombolo-operator is there and refuses nothing: the API server has the admission plugin ValidatingAdmissionPolicy turned off"}, nil
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
		return nil, nil
	default:
		return nil, fmt.Errorf("trying whether admission policies refuse a change of Node %s: %w", node.Name, err)
	}
}
