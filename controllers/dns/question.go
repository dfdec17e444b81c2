package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/dns/corefile"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Ask asks the DNS server at an IP address for a name's TXT records. It returns a *net.DNSError if the
// server does not know the name, fails, or is silent.
func Ask(ctx context.Context, server, name string) error {
	return AskAt(ctx, net.JoinHostPort(server, "53"), name)
}

// AskAt is Ask with a port of its own, as host:port.
func AskAt(ctx context.Context, address, name string) error {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	_, err := resolver.LookupTXT(ctx, name)
	return err
}

// question is a name that whoever serves the zone has (KEP-1645 "DNS": the version of the schema).
const question = "dns-version." + corefile.Zone

const (
	// questions are asked in a row: behind the cluster's DNS address are several servers, and each takes
	// up a new configuration by itself. If one of two has not, they miss it once in 128 times.
	questions = 8
	// patience is how long all of them may take.
	patience = 15 * time.Second
	// misses is how often in a row a zone that resolved must not resolve before the condition says so: a
	// packet may get lost.
	misses = 3
	// missedRecheck is how soon we ask again while the zone does not resolve, and answeredRecheck while it
	// does, or where it need not.
	missedRecheck, answeredRecheck = 5 * time.Second, time.Minute
)

// asked returns the condition with what the cluster's DNS itself says, and when to ask again. A right
// configuration counts only once names resolve. Where there is no CoreDNS that we see, an answer
// suffices. A name that resolved may be missed a few times before the condition says so.
func (r *Reconciler) asked(ctx context.Context, set *v1alpha1.ClusterSet, found metav1.Condition) (metav1.Condition, time.Duration) {
	right, elsewhere := found.Status == metav1.ConditionTrue, found.Status == metav1.ConditionUnknown
	if r.Ask == nil || !right && !elsewhere {
		r.missed = 0
		return found, 0
	}
	server, err := r.server(ctx)
	if server == "" {
		if err == nil {
			err = fmt.Errorf("namespace %s has no Service with the label %s=%s", Namespace, clusterset.DNSServiceLabel, clusterset.DNSServiceApp)
		}
		return saying(found, fmt.Sprintf("whether names resolve was not asked: %v", err)), answeredRecheck
	}
	why := r.ask(ctx, server)
	switch {
	case why == "":
		r.missed = 0
		if right {
			return saying(found, "names resolve"), answeredRecheck
		}
		return condition(metav1.ConditionTrue, v1alpha1.ReasonConfigured, "names of %s resolve, by a DNS server that tombolo does not configure", corefile.Zone), answeredRecheck
	case elsewhere:
		return found, answeredRecheck
	}
	before := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.ConditionDNSReady)
	if r.missed++; r.missed < misses && before != nil && before.Status == metav1.ConditionTrue {
		return *before, missedRecheck
	}
	return condition(metav1.ConditionFalse, v1alpha1.ReasonNotAnswering, "the cluster's DNS %s. CoreDNS reads a new Corefile within two minutes. "+
		"If it does not, restart it (%s), and see whether a DNS cache on the nodes sends %s elsewhere (docs/dns.md); %s", why, restart, corefile.Zone, found.Message), missedRecheck
}

// server is the DNS server that pods are told to ask; empty if that is not known.
func (r *Reconciler) server(ctx context.Context) (string, error) {
	var all corev1.ServiceList
	if err := r.Client.List(ctx, &all, client.InNamespace(Namespace), client.MatchingLabels{clusterset.DNSServiceLabel: clusterset.DNSServiceApp}); err != nil {
		return "", fmt.Errorf("reading the Services of namespace %s: %w", Namespace, err)
	}
	for _, s := range all.Items {
		if _, err := netip.ParseAddr(s.Spec.ClusterIP); err == nil {
			return s.Spec.ClusterIP, nil
		}
	}
	return "", nil
}

// ask returns what the cluster's DNS does instead of answering for the zone; empty if it answers. The
// text is the same for the same fault, so that a condition with it does not change without reason.
func (r *Reconciler) ask(ctx context.Context, server string) (why string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for range questions {
		if err := r.Ask(ctx, server, question+"."); err != nil {
			return doing(err)
		}
	}
	return ""
}

// doing says what the DNS does, by the error of a question.
func doing(err error) string {
	var dns *net.DNSError
	name := "TXT " + question
	switch {
	case !errors.As(err, &dns):
		return fmt.Sprintf("cannot be asked for %s (%v)", name, err)
	case dns.IsNotFound:
		return fmt.Sprintf("does not know the name %s", name)
	case dns.IsTimeout:
		return fmt.Sprintf("does not answer the question for %s", name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("refuses the question for %s", name)
	}
	return fmt.Sprintf("fails on the question for %s", name)
}
