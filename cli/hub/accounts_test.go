package hub

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// An account from before Members owned theirs does not go with its Member: somebody has to be told.
func TestUnowned(t *testing.T) {
	account := func(namespace, name, owner string) *corev1.ServiceAccount {
		a := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		if owner != "" {
			a.OwnerReferences = []metav1.OwnerReference{{Kind: owner, Name: "x", APIVersion: "v1", UID: "1"}}
		}
		return a
	}
	reader := fake.NewClientBuilder().WithObjects(account("hub", "member-west", ""), account("hub", "member-east", "Member"),
		account("hub", "member-north", "ConfigMap"), account("hub", "default", ""), account("other", "member-south", "")).Build()
	got, err := unowned(t.Context(), reader, "hub")
	if err != nil || !slices.Equal(got, []string{"member-north", "member-west"}) {
		t.Errorf("got %q, %v", got, err)
	}
	text := unownedText("hub", "member-west")
	for _, want := range []string{"hub/member-west", "member add west", "kubectl -n hub delete serviceaccount member-west"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
}
