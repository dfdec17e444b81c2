package clusterset

import (
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func TestApprovalOf(t *testing.T) {
	for _, test := range []struct {
		name      string
		listed    []v1alpha1.NamespacePattern
		namespace string
		want      Approval
	}{
		{"none listed", nil, "shop", Approved},
		{"none listed, default", nil, "default", Unlisted},
		{"none listed, kube-system", nil, "kube-system", Unlisted},
		{"none listed, kube-anything", nil, "kube-x", Unlisted},
		{"none listed, tombolo's usual one", nil, "tombolo-system", Unlisted},
		{"none listed, the operator's own", nil, "mesh", Unlisted},
		{"none listed, begins like kube", nil, "kubernetes", Approved},
		{"listed", []v1alpha1.NamespacePattern{"a", "shop"}, "shop", Approved},
		{"not listed", []v1alpha1.NamespacePattern{"a", "shop"}, "shop2", Unapproved},
		{"a system namespace, not listed", []v1alpha1.NamespacePattern{"shop"}, "default", Unapproved},
		{"a system namespace, listed", []v1alpha1.NamespacePattern{"default"}, "default", Approved},
		{"a beginning", []v1alpha1.NamespacePattern{"team-*"}, "team-a", Approved},
		{"no more than a beginning", []v1alpha1.NamespacePattern{"team*"}, "team", Approved},
		{"another beginning", []v1alpha1.NamespacePattern{"team-*"}, "team", Unapproved},
		{"a star that is not at the end", []v1alpha1.NamespacePattern{"*-a"}, "team-a", Unapproved},
		{"all", []v1alpha1.NamespacePattern{"*"}, "kube-system", Approved},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ApprovalOf(test.listed, test.namespace, "mesh")
			if got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
			why := got.Explain("west", test.listed, test.namespace)
			if (why == "") != (got == Approved) || why != "" && !strings.Contains(why, test.namespace) {
				t.Errorf("explained as %q", why)
			}
		})
	}
}
