package serviceimport

import (
	"fmt"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A report is made once, and remembered only while it concerns something: a cluster may export from
// ever new namespaces.
func TestReports(t *testing.T) {
	var r reports
	key := func(namespace, name string) client.ObjectKey {
		return client.ObjectKey{Namespace: namespace, Name: name}
	}
	a, b := key("shop", "a"), key("shop", "b")
	for i, step := range []struct {
		subject, service client.ObjectKey
		what             string
		want             bool
	}{
		{namespaceOf(a), a, "missing", true},
		{namespaceOf(b), b, "missing", false},
		{namespaceOf(a), a, "system", true},
		{a, a, "uid", true},
		{a, a, "uid", false},
	} {
		if got := r.changed(step.subject, step.service, step.what); got != step.want {
			t.Errorf("step %d: changed is %t, want %t", i, got, step.want)
		}
	}
	if got := len(r.services()); got != 3 {
		t.Errorf("%d Services are concerned, want a twice and b", got)
	}
	r.release(a)
	if r.changed(namespaceOf(b), b, "system") {
		t.Error("the report about the namespace is forgotten with one of its two Services")
	}
	r.release(b)
	if !r.changed(namespaceOf(b), b, "system") {
		t.Error("the report is not made again for what is exported again")
	}
	r.forget(namespaceOf(b))
	for i := range 10_000 {
		service := key(fmt.Sprint("namespace-", i), "web")
		r.changed(namespaceOf(service), service, "missing")
		r.release(service)
	}
	if len(r.last) != 0 {
		t.Errorf("%d reports are remembered of what is not exported any more", len(r.last))
	}
}
