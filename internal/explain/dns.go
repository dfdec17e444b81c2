package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// dns looks at what the cluster's DNS server answers. A right answer counts for more than what the
// operator says of the configuration.
func (w *walk) dns() {
	id := w.client.ID()
	said := slices.DeleteFunc(w.findings(id, "ClusterSet", "", ""), func(f topology.Finding) bool { return f.Condition != v1alpha1.ConditionDNSReady })
	looked := fmt.Sprintf("DNS server %s, %s", w.client.DNSServer, w.Facts.Name)
	told, asked := w.client.Told[w.Client.Node]
	switch {
	case w.client.DNSServer == "":
		looked = "Service kube-system/kube-dns"
		w.unasked(looked, said, "the cluster has no Service with the label "+clusterset.DNSServiceLabel+"="+clusterset.DNSServiceApp+", so which server its pods ask is not known")
		return
	case !asked || told.Away != "" || told.Unasked != "":
		w.unasked(looked, said, "no question was asked, since the agent of node "+w.Client.Node+" cannot be asked")
		return
	}
	if own := w.Client.Told; own != nil && own.Unasked == "" {
		looked, told = fmt.Sprintf("DNS server of pod %s, %s", w.Client.Pod, w.Facts.Name), *own
	}
	fault := w.dnsFault(told.DNS)
	// That names do not resolve is seen here, too, and in more detail.
	said = slices.DeleteFunc(said, func(f topology.Finding) bool { return f.Reason == v1alpha1.ReasonNotAnswering && fault != "" })
	if fault == "" {
		w.say(Good, id, looked, "answers %s", strings.Join(answered(told.DNS), ", "))
		for _, f := range said {
			w.finding(Warning, f)
		}
		return
	}
	if len(said) > 0 {
		for _, f := range said {
			f.Message = fault + ": " + f.Message
			w.finding(Failed, f)
		}
		return
	}
	w.say(Failed, id, looked, "%s. The operator has configured CoreDNS, which may take two minutes to read that: kubectl -n kube-system rollout restart deployment/coredns; "+
		"and see its log", fault)
}

// unasked says what can be said without a question.
func (w *walk) unasked(looked string, said []topology.Finding, why string) {
	if len(said) == 0 {
		w.say(Unknown, w.client.ID(), looked, "%s", why)
	}
	for _, f := range said {
		w.finding(Failed, f)
	}
}

func answered(all []DNSReply) (addresses []string) {
	for _, r := range all {
		for _, a := range r.Addresses {
			addresses = append(addresses, a.String())
		}
	}
	return addresses
}

// dnsFault says what is wrong with the answers; empty: nothing.
func (w *walk) dnsFault(all []DNSReply) string {
	for _, r := range all {
		if r.Code != "NOERROR" && r.Code != "" {
			return fmt.Sprintf("it answers %s to the question for %s", r.Code, r.Type)
		}
	}
	for _, r := range all {
		if r.Error != "" {
			return fmt.Sprintf("it does not answer the question for %s: %s", r.Type, r.Error)
		}
	}
	got := answered(all)
	if w.headless() {
		if len(got) == 0 {
			return "it answers without an address"
		}
		return ""
	}
	want := w.imported.Spec.IPs
	for _, ip := range want {
		if !slices.Contains(got, ip) {
			return fmt.Sprintf("it answers %s instead of %s", orNothing(got), strings.Join(want, ", "))
		}
	}
	return ""
}

func orNothing(all []string) string {
	if len(all) == 0 {
		return "without an address"
	}
	return strings.Join(all, ", ")
}
