package dns

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

const plain = ".:53 {\n    kubernetes cluster.local {\n    }\n    reload\n}\n"

// with returns a CoreDNS with that Corefile, annotation and image.
func with(corefile, note, image string) coreDNS {
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: Name}, Data: map[string]string{dataKey: corefile}}
	if note != "" {
		config.Annotations = map[string]string{v1alpha1.AnnotationCorefile: note}
	}
	deployment := &appsv1.Deployment{}
	deployment.Spec.Template.Spec.Containers = []corev1.Container{{Name: "sidecar", Image: "sidecar:v0.1"}, {Name: Name, Image: image}}
	return coreDNS{config: config, deployment: deployment}
}

func TestVersion(t *testing.T) {
	tests := []struct {
		image, version string // "": cannot be told
		tooOld         bool
	}{
		{"registry.k8s.io/coredns/coredns:v1.12.1", "1.12.1", true},
		{"registry.k8s.io/coredns/coredns:v1.12.2", "1.12.2", false},
		{"coredns/coredns:1.9.3", "1.9.3", true},
		{"localhost:5000/coredns:v1.15.0", "1.15.0", false},
		{"localhost:5000/coredns", "", false},
		{"602401143452.dkr.ecr.us-west-2.amazonaws.com/eks/coredns:v1.11.4-eksbuild.2", "1.11.4", true},
		{"coredns/coredns:v1.12.0@sha256:0123456789abcdef", "1.12.0", true},
		{"coredns/coredns@sha256:0123456789abcdef", "", false},
		{"coredns/coredns:latest", "", false},
		{"", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.image, func(t *testing.T) {
			got := ""
			if v := imageVersion(tt.image); v != nil {
				got = v.String()
			}
			if old := with("", "", tt.image).tooOld(); got != tt.version || old != tt.tooOld {
				t.Errorf("version %q, too old: %v", got, old)
			}
		})
	}
}

// What was taken away by somebody else is added again, and noted anew.
func TestWithIsCompleteAgain(t *testing.T) {
	first, err := with(plain, "", "").with()
	if err != nil {
		t.Fatal(err)
	}
	half := strings.Replace(first.Data[dataKey], " clusterset.local {", " {", 1)
	note := first.Annotations[v1alpha1.AnnotationCorefile]
	again, err := with(half, note, "").with()
	if err != nil {
		t.Fatal(err)
	}
	if again.Data[dataKey] != first.Data[dataKey] {
		t.Errorf("got\n%s\nwant\n%s", again.Data[dataKey], first.Data[dataKey])
	}
	if more, err := (coreDNS{config: again}).with(); more != nil || err != nil {
		t.Errorf("a third time: %v, error %v", more, err)
	}
	back, err := (coreDNS{config: again}).without()
	if err != nil {
		t.Fatal(err)
	}
	if back.Data[dataKey] != plain || len(back.Annotations) > 0 {
		t.Errorf("without: %q, annotations %v", back.Data[dataKey], back.Annotations)
	}
}

func TestWithoutANote(t *testing.T) {
	if config, err := with(plain, "", "").without(); config != nil || err != nil {
		t.Errorf("nothing of ours is there: got %v, error %v", config, err)
	}
	_, err := with(plain, "no JSON", "").without()
	if r := refusal(err); r == nil || !strings.Contains(r.Error(), v1alpha1.AnnotationCorefile) {
		t.Errorf("an annotation that cannot be read: got %v, want a refusal that names it", err)
	}
	if _, err := (coreDNS{config: &corev1.ConfigMap{}}).with(); refusal(err) == nil {
		t.Errorf("a ConfigMap without a Corefile: got %v, want a refusal", err)
	}
}

func TestConditions(t *testing.T) {
	managed, err := with(plain, "", "").with()
	if err != nil {
		t.Fatal(err)
	}
	done, note := managed.Data[dataKey], managed.Annotations[v1alpha1.AnnotationCorefile]
	const image = "coredns:v1.12.2"
	tests := []struct {
		name   string
		of     func(coreDNS) (metav1.Condition, error)
		in     coreDNS
		status metav1.ConditionStatus
		reason string
		want   []string // in the message
		never  string
	}{
		{"managed", configured, with(done, note, image), "True", "Configured", []string{"makes CoreDNS serve clusterset.local"}, "restart"},
		{"managed, without reload", configured, with(strings.Replace(done, "    reload\n", "", 1), note, image), "True", "Configured", []string{restart}, "within"},
		{"there before", configured, with(done, "", image), "True", "Configured", []string{"tombolo added nothing"}, "two minutes"},
		{"version not told", configured, with(done, note, "coredns:latest"), "True", "Configured", []string{`"coredns:latest"`, "1.12.2"}, ""},
		{"by hand, not yet", manual, with(plain, "", image), "False", "Manual",
			[]string{"Managed", "`clusterset.local` after `kubernetes cluster.local`", "`multicluster clusterset.local` below `kubernetes cluster.local clusterset.local {`"}, "image"},
		{"by hand, done", manual, with(done, "", image), "True", "Configured", nil, "Managed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.of(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if got.Status != tt.status || got.Reason != tt.reason || tt.never != "" && strings.Contains(got.Message, tt.never) {
				t.Errorf("got %s %s: %s", got.Status, got.Reason, got.Message)
			}
			for _, want := range tt.want {
				if !strings.Contains(got.Message, want) {
					t.Errorf("the message lacks %q: %s", want, got.Message)
				}
			}
		})
	}
}
