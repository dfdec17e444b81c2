package dns

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/dns/corefile"
)

// restart makes CoreDNS read its Corefile at once.
const restart = "kubectl -n " + Namespace + " rollout restart deployment/" + Name

// where is the Corefile, in words.
const where = "the Corefile in ConfigMap " + Namespace + "/" + Name

func condition(status metav1.ConditionStatus, reason, format string, args ...any) metav1.Condition {
	return metav1.Condition{
		Type: v1alpha1.ConditionDNSReady, Status: status, Reason: reason, Message: fmt.Sprintf(format, args...),
	}
}

// saying is the condition with more to say.
func saying(c metav1.Condition, more string) metav1.Condition {
	if more != "" {
		c.Message += "; " + more
	}
	return c
}

func notFound(what string, status metav1.ConditionStatus) metav1.Condition {
	return condition(status, v1alpha1.ReasonCoreDNSNotFound,
		"there is %s %s in namespace %s: configure this cluster's DNS server to serve %s (see docs/dns.md), and set spec.dns to Manual",
		what, Name, Namespace, corefile.Zone)
}

func tooOld(image string) metav1.Condition {
	return condition(metav1.ConditionFalse, v1alpha1.ReasonCoreDNSTooOld,
		"CoreDNS %s (image %s) cannot serve %s: run version %s or later", imageVersion(image), image, corefile.Zone, oldest)
}

func notServed() metav1.Condition {
	return condition(metav1.ConditionFalse, v1alpha1.ReasonCRDsMissing,
		"the API server does not serve ServiceImports in version %s, which CoreDNS reads: apply config/crd", coreDNSVersion)
}

func notUnderstood(refused *corefile.Refusal) metav1.Condition {
	return condition(metav1.ConditionFalse, v1alpha1.ReasonCorefileNotUnderstood, "tombolo does not change %s: %v", where, refused)
}

// configured is the condition when we manage a Corefile that serves the zone.
func configured(found coreDNS) (metav1.Condition, error) {
	added, err := found.ours()
	if err != nil {
		return metav1.Condition{}, err
	}
	parsed, err := found.corefile()
	if err != nil {
		return metav1.Condition{}, err
	}
	message := where + " makes CoreDNS serve " + corefile.Zone
	switch {
	case len(added) == 0:
		message += "; tombolo added nothing"
	case !parsed.Reloads():
		message += "; it has no `reload` plugin: CoreDNS reads what tombolo added when it is restarted: " + restart
	}
	return condition(metav1.ConditionTrue, v1alpha1.ReasonConfigured, "%s%s", message, doubt(found)), nil
}

// doubt says so if CoreDNS's version is unknown.
func doubt(found coreDNS) string {
	if imageVersion(found.image()) != nil {
		return ""
	}
	return fmt.Sprintf("; the tag of its image %q is no version: make sure that it is %s or later", found.image(), oldest)
}

// manual is the condition when the cluster's admin configures CoreDNS.
func manual(found coreDNS) (metav1.Condition, error) {
	parsed, err := found.corefile()
	if err != nil {
		return metav1.Condition{}, err
	}
	_, missing, err := parsed.Add()
	if err != nil {
		return metav1.Condition{}, err
	}
	if len(missing) == 0 {
		return condition(metav1.ConditionTrue, v1alpha1.ReasonConfigured, "%s makes CoreDNS serve %s%s", where, corefile.Zone, doubt(found)), nil
	}
	return condition(metav1.ConditionFalse, v1alpha1.ReasonManual,
		"set spec.dns to Managed; or by hand: kubectl apply -k config/coredns, then add to %s: %s%s", where, instructions(missing), doubt(found)), nil
}

// instructions tell a human what to add where.
func instructions(missing []corefile.Addition) string {
	var all []string
	for _, a := range missing {
		text := strings.Join(strings.Fields(a.Text), " ")
		switch after := strings.TrimSpace(a.After); {
		case strings.HasPrefix(strings.TrimLeft(a.Text, "\r"), "\n"):
			all = append(all, fmt.Sprintf("`%s` below `%s`", text, after))
		default:
			all = append(all, fmt.Sprintf("`%s` after `%s`", text, after))
		}
	}
	return strings.Join(all, ", ")
}
