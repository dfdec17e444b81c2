package dns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/dns/corefile"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
)

// Where CoreDNS is, as kubeadm names it: its ConfigMap and its Deployment have the same name.
const (
	Namespace = "kube-system"
	Name      = "coredns"
	dataKey   = "Corefile"
)

// oldest is the first CoreDNS whose kubernetes plugin knows `multicluster`.
var oldest = version.MustParseGeneric("1.12.2")

// coreDNS is what there is of CoreDNS.
type coreDNS struct {
	config     *corev1.ConfigMap  // nil: not there
	deployment *appsv1.Deployment // nil: not there
}

func (r *Reconciler) read(ctx context.Context) (coreDNS, error) {
	key := client.ObjectKey{Namespace: Namespace, Name: Name}
	config, err := optional.Get[corev1.ConfigMap](ctx, r.Client, key)
	if err != nil {
		return coreDNS{}, err
	}
	deployment, err := optional.Get[appsv1.Deployment](ctx, r.Client, key)
	return coreDNS{config: config, deployment: deployment}, err
}

// missing names what is not there; "" if all is.
func (c coreDNS) missing() string {
	switch {
	case c.config == nil && c.deployment == nil:
		return "neither ConfigMap nor Deployment"
	case c.config == nil:
		return "no ConfigMap"
	case c.deployment == nil:
		return "no Deployment"
	}
	return ""
}

// image is the image of CoreDNS's container, "" if we cannot tell which container that is.
func (c coreDNS) image() string {
	containers := c.deployment.Spec.Template.Spec.Containers
	for _, container := range containers {
		if container.Name == Name || len(containers) == 1 {
			return container.Image
		}
	}
	return ""
}

// imageVersion is the version in an image's tag; nil if there is none, as in a digest or "latest".
func imageVersion(image string) *version.Version {
	image, _, _ = strings.Cut(image, "@")
	_, tag, found := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	if !found {
		return nil
	}
	v, err := version.ParseGeneric(tag)
	if err != nil {
		return nil // such as "latest"
	}
	return v
}

// tooOld tells whether this CoreDNS would refuse a Corefile with `multicluster`. An unknown version
// passes.
func (c coreDNS) tooOld() bool {
	v := imageVersion(c.image())
	return v != nil && v.LessThan(oldest)
}

// account is the ServiceAccount that CoreDNS runs as.
func (c coreDNS) account() string {
	if name := c.deployment.Spec.Template.Spec.ServiceAccountName; name != "" {
		return name
	}
	return "default"
}

// corefile is the parsed Corefile. The error is a *corefile.Refusal.
func (c coreDNS) corefile() (*corefile.Corefile, error) {
	text, found := c.config.Data[dataKey]
	if !found {
		return nil, &corefile.Refusal{Problem: "the ConfigMap has no key " + dataKey, Remedy: "put CoreDNS's configuration there"}
	}
	return corefile.Parse(text)
}

// ours is what we added, as the ConfigMap's annotation says. The error is a *corefile.Refusal.
func (c coreDNS) ours() ([]corefile.Addition, error) {
	note := c.config.Annotations[v1alpha1.AnnotationCorefile]
	if note == "" {
		return nil, nil
	}
	var added []corefile.Addition
	if err := json.Unmarshal([]byte(note), &added); err != nil {
		return nil, &corefile.Refusal{Problem: fmt.Sprintf("the ConfigMap's annotation %s cannot be read (%v)", v1alpha1.AnnotationCorefile, err),
			Remedy: "remove it, and what tombolo added to the Corefile"}
	}
	return added, nil
}

// with is the ConfigMap with our additions up to date; nil if its Corefile serves the zone already.
// The error is a *corefile.Refusal.
func (c coreDNS) with() (*corev1.ConfigMap, error) {
	parsed, err := c.corefile()
	if err != nil {
		return nil, err
	}
	if _, added, err := parsed.Add(); err != nil || len(added) == 0 {
		return nil, err
	}
	plain, err := c.without()
	if err != nil {
		return nil, err
	}
	if plain == nil {
		plain = c.config.DeepCopy()
	}
	if parsed, err = (coreDNS{config: plain}).corefile(); err != nil {
		return nil, err
	}
	text, added, err := parsed.Add()
	if err != nil {
		return nil, err
	}
	note, err := json.Marshal(added)
	if err != nil {
		return nil, fmt.Errorf("encoding what is added to the Corefile: %w", err)
	}
	plain.Data[dataKey] = text
	if plain.Annotations == nil {
		plain.Annotations = map[string]string{}
	}
	plain.Annotations[v1alpha1.AnnotationCorefile] = string(note)
	return plain, nil
}

// without is the ConfigMap without what we added; nil if we added nothing. The error is a
// *corefile.Refusal.
func (c coreDNS) without() (*corev1.ConfigMap, error) {
	added, err := c.ours()
	if err != nil || len(added) == 0 {
		return nil, err
	}
	config := c.config.DeepCopy()
	delete(config.Annotations, v1alpha1.AnnotationCorefile)
	text, found := config.Data[dataKey]
	if !found {
		return config, nil
	}
	if config.Data[dataKey], err = corefile.Remove(text, added); err != nil {
		return nil, err
	}
	return config, nil
}

// refusal is the *corefile.Refusal in the error; nil if it has none.
func refusal(err error) *corefile.Refusal {
	var r *corefile.Refusal
	errors.As(err, &r)
	return r
}
