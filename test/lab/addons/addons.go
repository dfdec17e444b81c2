package addons

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"text/template"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

//go:embed coredns.yaml
var corednsYAML string

// CoreDNS says how a cluster's DNS runs.
type CoreDNS struct {
	Image     string     // required
	ServiceIP netip.Addr // required, of the Service kube-dns

	// HostNode is the node on whose own network CoreDNS runs, and APIServer how it reaches the API
	// server, in a cluster in which nobody serves Services' addresses.
	HostNode  string         // optional, default any node, on the pods' network
	APIServer netip.AddrPort // optional, default the Service kubernetes
}

// Objects returns CoreDNS's objects, in the order in which to create them.
func (c CoreDNS) Objects() ([]*unstructured.Unstructured, error) {
	t, err := template.New("coredns.yaml").Parse(corednsYAML)
	if err != nil {
		return nil, fmt.Errorf("reading CoreDNS's manifests: %w", err)
	}
	var text bytes.Buffer
	if err := t.Execute(&text, c); err != nil {
		return nil, fmt.Errorf("filling in CoreDNS's manifests: %w", err)
	}
	return decode(&text)
}

func decode(r io.Reader) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(r, 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("decoding manifest %d: %w", len(all)+1, err)
		}
		all = append(all, object)
	}
}

// fieldOwner is the name under which the lab applies what it owns in a cluster.
const fieldOwner = "tombolo-lab"

// Apply makes the cluster hold the objects, which are of built-in kinds. It may be repeated.
func Apply(ctx context.Context, config *rest.Config, objects []*unstructured.Unstructured) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("preparing client: %w", err)
	}
	for _, object := range objects {
		resource, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind()) // right for the kinds that are used here
		_, err := client.Resource(resource).Namespace(object.GetNamespace()).
			Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: fieldOwner, Force: true})
		if err != nil {
			return fmt.Errorf("applying %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}
