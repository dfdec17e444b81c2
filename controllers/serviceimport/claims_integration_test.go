//go:build integration

package serviceimport_test

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/serviceimport"
)

// A ServiceImport that somebody else made holds no address, so it moves no other import. That it was
// written under our field manager's name, or is exported later, gives it none either.
func TestForeignClaims(t *testing.T) {
	e, r, reported := newEnv(t, "victim", "attacker")
	west(t, e)
	publish(t, e, "victim", "web")
	steps(t, e, r, "victim", "web")
	vip := get(t, e, "victim", "web").Spec.IPs
	for _, forged := range []struct{ name, manager string }{{"foreign", "me"}, {"web", mcs.FieldOwner}} {
		claim := &mcsv1beta1.ServiceImport{
			ObjectMeta: metav1.ObjectMeta{Namespace: "attacker", Name: forged.name},
			Spec:       mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP, IPs: vip, Ports: []mcsv1beta1.ServicePort{{Port: 80}}},
		}
		if err := e.Create(t.Context(), claim, client.FieldOwner(forged.manager)); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, e, "attacker", "web")
	fresh := &serviceimport.Reconciler{Client: e.Own.GetClient(), Hub: e.Conn, Events: reported, Skipped: notes{}}
	for range 2 {
		steps(t, e, fresh, "attacker", "web")
		steps(t, e, fresh, "victim", "web")
	}
	get(t, e, "attacker", "foreign")
	if got := get(t, e, "victim", "web").Spec.IPs; !slices.Equal(got, vip) {
		t.Errorf("the victim has %v, and had %v", got, vip)
	}
	if got := get(t, e, "attacker", "web").Spec.IPs; len(got) == 0 || slices.Equal(got, vip) {
		t.Errorf("the attacker has %v, the victim %v", got, vip)
	}
}
