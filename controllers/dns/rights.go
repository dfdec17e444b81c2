package dns

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/dns/corefile"
)

// need tells whether CoreDNS must be able to read ServiceImports.
type need int

const (
	notNeeded need = iota
	needed
	unclear // what there is stays
)

// need goes by the Corefile, whoever wrote it: a CoreDNS that may not read what `multicluster` needs
// does not become ready when it restarts next, and the cluster has no DNS at all.
func (c coreDNS) need() need {
	switch {
	case c.config == nil && c.deployment == nil:
		return notNeeded
	case c.config == nil:
		return unclear
	}
	parsed, err := c.corefile()
	switch {
	case err != nil:
		return unclear
	case len(parsed.Multicluster()) > 0 && c.deployment != nil:
		return needed
	case len(parsed.Multicluster()) > 0 || len(parsed.Imports()) > 0:
		return unclear
	}
	return notNeeded
}

// entitle gives CoreDNS the right to read ServiceImports, or takes it away, as it needs it.
func (r *Reconciler) entitle(ctx context.Context, found coreDNS) error {
	switch found.need() {
	case needed:
		return r.bind(ctx, found.account())
	case notNeeded:
		return r.unbind(ctx)
	}
	return nil
}

// left says what tombolo leaves of the Corefile and of CoreDNS's rights though it does not manage
// them, why, and what to do; empty if nothing.
func (c coreDNS) left() string {
	if c.config == nil {
		return ""
	}
	parsed, err := c.corefile()
	if err != nil {
		return ""
	}
	if lines := parsed.Multicluster(); len(lines) > 0 {
		return fmt.Sprintf("%s has `multicluster` in %s; tombolo has no note that it added that (annotation %s), so it leaves it there, "+
			"and ClusterRoleBinding %s with it: without the right to read ServiceImports CoreDNS would not start again; "+
			"before you uninstall tombolo, remove %s by hand", where, lineNumbers(lines), v1alpha1.AnnotationCorefile, Binding, corefile.Zone)
	}
	if files := parsed.Imports(); len(files) > 0 {
		return fmt.Sprintf("%s imports %s, which tombolo does not read: if ClusterRoleBinding %s is there, it stays, in case such a file has "+
			"`multicluster`; if none has, delete the binding by hand", where, strings.Join(files, ", "), Binding)
	}
	return ""
}

func lineNumbers(lines []int) string {
	text := fmt.Sprintf("line %d", lines[0])
	if more := len(lines) - 1; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// tellLeft makes an event on CoreDNS's ConfigMap for what is left when the cluster has left the
// clusterset: there is no ClusterSet any more whose condition could say so.
func (r *Reconciler) tellLeft(found coreDNS) {
	if text := found.left(); text != "" && found.need() != notNeeded {
		r.Events.Eventf(found.config, nil, corev1.EventTypeWarning, "CorefileNotRestored", "ConfigureDNS", "%s", text)
	}
}
