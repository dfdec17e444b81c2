package dns

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// answers are these errors in turn, the last one for ever.
func answers(errs ...error) func(context.Context, string, string) error {
	return func(_ context.Context, server, name string) error {
		if server != "10.96.0.10" || name != "dns-version.clusterset.local." {
			return errors.New(server + " was asked for " + name)
		}
		err := errs[0]
		if len(errs) > 1 {
			errs = errs[1:]
		}
		return err
	}
}

// services has the Service of the cluster's DNS, and one that is another's.
func services() client.Client {
	kubeDNS := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: "kube-dns", Labels: map[string]string{clusterset.DNSServiceLabel: clusterset.DNSServiceApp}},
		Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.10"}}
	other := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: "other"}, Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.11"}}
	return fake.NewClientBuilder().WithObjects(other, kubeDNS).Build()
}

var (
	unknownName = &net.DNSError{Err: "no such host", IsNotFound: true}
	late        = &net.DNSError{Err: "read udp 10.1.0.5:40000->10.96.0.10:53: i/o timeout", IsTimeout: true}
)

// TestAsked: a configuration that is right counts once names resolve, at each server; a zone that
// resolved may be missed twice.
func TestAsked(t *testing.T) {
	right := condition(metav1.ConditionTrue, v1alpha1.ReasonConfigured, "the Corefile serves it")
	for _, tt := range []struct {
		name          string
		found, before metav1.Condition
		errs          []error
		times         int
		want          metav1.ConditionStatus
		reason, says  string
	}{
		{"it answers", right, metav1.Condition{}, []error{nil}, 1, "True", "Configured", "the Corefile serves it; names resolve"},
		{"not yet", right, metav1.Condition{}, []error{unknownName}, 1, "False", "NotAnswering", "does not know the name TXT dns-version"},
		{"not yet, and what to do", right, metav1.Condition{}, []error{unknownName}, 1, "False", "NotAnswering", "reads a new Corefile within two minutes"},
		{"one of two servers not yet", right, metav1.Condition{}, []error{nil, nil, unknownName, nil}, 1, "False", "NotAnswering", "does not know"},
		{"it answered before, and missed two", right, right, []error{late}, 2, "True", "Configured", "the Corefile serves it"},
		{"it answered before, and missed three", right, right, []error{late}, 3, "False", "NotAnswering", "does not answer the question"},
		{"the configuration is not right", condition("False", "Manual", "add this"), right, []error{nil}, 1, "False", "Manual", "add this"},
		{"another DNS server answers", notFound("no Deployment", "Unknown"), metav1.Condition{}, []error{nil}, 1, "True", "Configured", "does not configure"},
		{"another DNS server does not answer", notFound("no Deployment", "Unknown"), metav1.Condition{}, []error{unknownName}, 1, "Unknown", "CoreDNSNotFound", "no Deployment"},
	} {
		r := &Reconciler{Client: services()}
		set := &v1alpha1.ClusterSet{}
		if tt.before.Type != "" {
			set.Status.Conditions = []metav1.Condition{tt.before}
		}
		var got metav1.Condition
		for range tt.times {
			r.Ask = answers(tt.errs...)
			got, _ = r.asked(t.Context(), set, tt.found)
		}
		if got.Status != tt.want || got.Reason != tt.reason || !strings.Contains(got.Message, tt.says) {
			t.Errorf("%s: %s %s %q, want %s %s with %q", tt.name, got.Status, got.Reason, got.Message, tt.want, tt.reason, tt.says)
		}
	}
}

// TestAskedAgain: what does not resolve is asked for soon, and what resolves from time to time; who
// is not to ask, or whom, changes nothing.
func TestAskedAgain(t *testing.T) {
	right, set := condition(metav1.ConditionTrue, v1alpha1.ReasonConfigured, "right"), &v1alpha1.ClusterSet{}
	r := &Reconciler{Client: services()}
	if got, again := r.asked(t.Context(), set, right); got != right || again != 0 {
		t.Errorf("nobody is asked: %v, again after %s", got, again)
	}
	for _, tt := range []struct {
		err   error
		again string
	}{{nil, "1m0s"}, {unknownName, "5s"}} {
		r.Ask = answers(tt.err)
		if _, again := r.asked(t.Context(), set, right); again.String() != tt.again {
			t.Errorf("after %v it is asked again after %s, want %s", tt.err, again, tt.again)
		}
	}
	r.Client = fake.NewClientBuilder().Build()
	if got, _ := r.asked(t.Context(), set, right); got.Status != metav1.ConditionTrue || !strings.Contains(got.Message, "no Service with the label k8s-app=kube-dns") {
		t.Errorf("no Service: %s %q", got.Status, got.Message)
	}
}

// TestDoing: the words for a fault do not change with the port that a question came from.
func TestDoing(t *testing.T) {
	refused := &net.DNSError{Err: "read udp 10.1.0.5:40000: connection refused", UnwrapErr: os.NewSyscallError("read", syscall.ECONNREFUSED)}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{unknownName, "does not know the name TXT " + question},
		{late, "does not answer the question for TXT " + question},
		{refused, "refuses the question for TXT " + question},
		{&net.DNSError{Err: "server misbehaving", IsTemporary: true}, "fails on the question for TXT " + question},
		{errors.New("no file"), "cannot be asked for TXT " + question + " (no file)"},
	} {
		if got := doing(tt.err); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
}
