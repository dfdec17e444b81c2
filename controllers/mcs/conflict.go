package mcs

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

const (
	// valueInConflict is how many bytes of a value a message shows. Exported annotations may have
	// 256 KiB, a whole condition's message 32 KiB.
	valueInConflict = 200
)

// Conflict is what the exports of one Service disagree about. The zero value means no conflict.
type Conflict struct {
	// Reasons, each once, in the order in which this package knows them.
	Reasons []mcsv1beta1.ServiceExportConditionReason
	// Message says, for each field, which cluster wins with which value, and how many and which
	// clusters disagree.
	Message string
}

// Condition is the condition Conflict of a ServiceExport. It has no time of transition: the caller
// sets that. Several reasons are combined with commas, as mcs-api's ServiceExportConditionConflict
// says.
func (c Conflict) Condition(export *mcsv1beta1.ServiceExport) metav1.Condition {
	condition := metav1.Condition{
		Type:               string(mcsv1beta1.ServiceExportConditionConflict),
		Status:             metav1.ConditionFalse,
		Reason:             string(mcsv1beta1.ServiceExportReasonNoConflicts),
		Message:            "all clusters that export the Service agree",
		ObservedGeneration: export.Generation,
	}
	if len(c.Reasons) == 0 {
		return condition
	}
	reasons := make([]string, 0, len(c.Reasons))
	for _, r := range c.Reasons {
		reasons = append(reasons, string(r))
	}
	condition.Status = metav1.ConditionTrue
	condition.Reason = strings.Join(reasons, ",")
	condition.Message = c.Message
	return condition
}

// ConflictOf returns what the exports of one Service, one for each cluster, disagree about. It is
// the same for all of them, as KEP-1645, "Constraints and Conflict Resolution", wants the condition
// on every ServiceExport. A value that is absent equals its default. Without exports there is no
// conflict.
func ConflictOf(exports []v1alpha1.ExportedService) Conflict {
	sorted := slices.SortedFunc(slices.Values(exports), byAge)
	return conflicts(func(f conflictField) string { return f.of(sorted) })
}

// ConflictBeside is ConflictOf while absent clusters have a say in the import, too: merged is what
// the present exports and they lead to (PartialView). Where the present ones agree, it says in what
// the import differs from them.
func ConflictBeside(present []v1alpha1.ExportedService, merged Import, absent v1alpha1.ClusterID) Conflict {
	if len(present) == 0 {
		return Conflict{}
	}
	sorted := slices.SortedFunc(slices.Values(present), byAge)
	agreed := exportOf(Merge(present), clusterset.SourceCluster(sorted[0].Labels))
	pair := []v1alpha1.ExportedService{exportOf(merged, absent), agreed}
	return conflicts(func(f conflictField) string { return cmp.Or(f.of(sorted), f.of(pair)) })
}

// exportOf is an export that says what the import is.
func exportOf(i Import, cluster v1alpha1.ClusterID) v1alpha1.ExportedService {
	return v1alpha1.ExportedService{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.LabelSourceCluster: string(cluster)}},
		Spec: v1alpha1.ExportedServiceSpec{
			Type: i.Spec.Type, Ports: i.Spec.Ports, IPFamilies: i.Spec.IPFamilies,
			SessionAffinity: i.Spec.SessionAffinity, SessionAffinityConfig: i.Spec.SessionAffinityConfig,
			InternalTrafficPolicy: i.Spec.InternalTrafficPolicy, TrafficDistribution: i.Spec.TrafficDistribution,
			ExportedLabels: i.Labels, ExportedAnnotations: i.Annotations,
		},
	}
}

// conflicts collects what compare says of each field.
func conflicts(compare func(conflictField) string) Conflict {
	var found Conflict
	var messages []string
	for _, field := range conflictFields {
		if message := compare(field); message != "" {
			found.Reasons = append(found.Reasons, field.reason)
			messages = append(messages, message)
		}
	}
	found.Message = strings.Join(messages, " ")
	return found
}

// conflictField is one field that exports may disagree about.
type conflictField struct {
	reason mcsv1beta1.ServiceExportConditionReason
	// compare says what the exports, oldest first and at least two, disagree about; empty if they
	// agree.
	compare func(sorted []v1alpha1.ExportedService) string
}

// of says what the exports, oldest first, disagree about; empty if they agree, or if there is but one.
func (f conflictField) of(sorted []v1alpha1.ExportedService) string {
	if len(sorted) < 2 {
		return ""
	}
	return f.compare(sorted)
}

var conflictFields = []conflictField{
	{mcsv1beta1.ServiceExportReasonPortConflict, comparePorts},
	{mcsv1beta1.ServiceExportReasonTypeConflict, oldestWins("type", func(s *v1alpha1.ExportedServiceSpec) string { return string(s.Type) })},
	{mcsv1beta1.ServiceExportReasonSessionAffinityConflict, oldestWins("sessionAffinity", func(s *v1alpha1.ExportedServiceSpec) string {
		return string(affinity(s))
	})},
	{mcsv1beta1.ServiceExportReasonSessionAffinityConfigConflict, oldestWins("sessionAffinityConfig", affinityTimeout)},
	{mcsv1beta1.ServiceExportReasonAnnotationsConflict, oldestWins("exportedAnnotations", func(s *v1alpha1.ExportedServiceSpec) string {
		return mapText(carried(s.ExportedAnnotations))
	})},
	{mcsv1beta1.ServiceExportReasonLabelsConflict, oldestWins("exportedLabels", func(s *v1alpha1.ExportedServiceSpec) string {
		return mapText(carried(s.ExportedLabels))
	})},
	{mcsv1beta1.ServiceExportReasonInternalTrafficPolicyConflict, oldestWins("internalTrafficPolicy", func(s *v1alpha1.ExportedServiceSpec) string {
		return string(ptr.Deref(s.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster))
	})},
	{mcsv1beta1.ServiceExportReasonTrafficDistributionConflict, oldestWins("trafficDistribution", trafficDistribution)},
	{mcsv1beta1.ServiceExportReasonIPFamilyConflict, compareFamilies},
}

// oldestWins compares a field that the oldest export decides. value is the field as text, with
// equal texts for equal meaning. An export with an empty text disagrees with no other, and so does
// the oldest.
func oldestWins(name string, value func(*v1alpha1.ExportedServiceSpec) string) func([]v1alpha1.ExportedService) string {
	return func(sorted []v1alpha1.ExportedService) string {
		used := value(&sorted[0].Spec)
		var others []string
		for i := range sorted {
			if v := value(&sorted[i].Spec); v != used && v != "" && used != "" {
				others = append(others, clusterOf(&sorted[i]))
			}
		}
		if len(others) == 0 {
			return ""
		}
		return fmt.Sprintf("Conflicting %s: using %s from the oldest export, that of cluster %s; %s.",
			name, clip(used), clusterOf(&sorted[0]), disagree(others, len(sorted)))
	}
}

// affinityTimeout is the timeout that sessionAffinityConfig sets. It is empty without ClientIP,
// where the field has no meaning.
func affinityTimeout(s *v1alpha1.ExportedServiceSpec) string {
	if affinity(s) != corev1.ServiceAffinityClientIP {
		return ""
	}
	seconds := corev1.DefaultClientIPServiceAffinitySeconds
	if c := s.SessionAffinityConfig; c != nil && c.ClientIP != nil {
		seconds = ptr.Deref(c.ClientIP.TimeoutSeconds, seconds)
	}
	return fmt.Sprintf("a timeout of %d s", seconds)
}

// trafficDistribution treats PreferClose as another name for PreferSameZone, which it is since
// KEP-3015.
func trafficDistribution(s *v1alpha1.ExportedServiceSpec) string {
	switch value := ptr.Deref(s.TrafficDistribution, ""); value {
	case "":
		return "no preference"
	case corev1.ServiceTrafficDistributionPreferClose:
		return corev1.ServiceTrafficDistributionPreferSameZone
	default:
		return value
	}
}

// mapText is the map as JSON, sorted by key.
func mapText(m map[string]string) string {
	if len(m) == 0 {
		return "none"
	}
	text, err := json.Marshal(m)
	if err != nil { // never with strings
		return err.Error()
	}
	return string(text)
}

// comparePorts compares lists of ports, whose order has no meaning. A cluster disagrees if it does
// not list what the oldest export lists, even if the union serves both (KEP-1645, "Service Port").
func comparePorts(sorted []v1alpha1.ExportedService) string {
	oldest := portTexts(sorted[0].Spec.Ports)
	used := portTexts(unitePorts(sorted))
	from := map[string]string{} // the oldest cluster with the port; empty: not known yet
	for _, p := range used {
		from[p] = ""
	}
	var others, unused []string
	for i := range sorted {
		cluster, ports := clusterOf(&sorted[i]), portTexts(sorted[i].Spec.Ports)
		if !slices.Equal(ports, oldest) {
			others = append(others, cluster)
		}
		for _, p := range ports {
			if first, isUsed := from[p]; !isUsed {
				unused = append(unused, p+" of cluster "+cluster)
			} else if first == "" {
				from[p] = cluster
			}
		}
	}
	if len(others) == 0 {
		return ""
	}
	for i, p := range used {
		used[i] = p + " of cluster " + from[p]
	}
	message := "Conflicting ports: using " + clusterset.NameSome(used)
	if len(unused) > 0 {
		message += ", not " + clusterset.NameSome(unused) + " (of ports with one name, or one protocol and number, the oldest export's is used)"
	}
	return message + "; " + disagree(others, len(sorted)) + "; a port is served by the clusters that have it."
}

// portTexts are the ports as texts, sorted, with equal texts for equal meaning.
func portTexts(ports []mcsv1beta1.ServicePort) []string {
	texts := make([]string, 0, len(ports))
	for _, p := range ports {
		text := fmt.Sprintf("%s %s/%d", strconv.Quote(p.Name), protocolOf(p), p.Port)
		if app := ptr.Deref(p.AppProtocol, ""); app != "" {
			text += " (" + clip(app) + ")"
		}
		texts = append(texts, text)
	}
	slices.Sort(texts)
	return texts
}

// compareFamilies finds the families of the import that do not reach all clusters.
func compareFamilies(sorted []v1alpha1.ExportedService) string {
	used := uniteFamilies(sorted)
	others := map[string]bool{}
	var partial []string
	for _, family := range used {
		missing := 0
		for i := range sorted {
			if families := sorted[i].Spec.IPFamilies; len(families) > 0 && !slices.Contains(families, family) {
				others[clusterOf(&sorted[i])] = true
				missing++
			}
		}
		if missing > 0 {
			partial = append(partial, fmt.Sprintf("%s reaches %d of them", family, len(sorted)-missing))
		}
	}
	if len(partial) == 0 {
		return ""
	}
	return fmt.Sprintf("Conflicting ipFamilies: of %d clusters %s; %s.",
		len(sorted), strings.Join(partial, ", "), disagree(slices.Sorted(maps.Keys(others)), len(sorted)))
}

func clusterOf(e *v1alpha1.ExportedService) string {
	return strconv.Quote(string(clusterset.SourceCluster(e.Labels)))
}

func disagree(others []string, all int) string {
	return fmt.Sprintf("%d/%d clusters disagree: %s", len(others), all, clusterset.NameSome(others))
}

func clip(text string) string { return clusterset.Clip(text, valueInConflict) }
