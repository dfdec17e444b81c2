package installation

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/openapi"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// kind is a kind whose every field tombolo may use.
type kind struct {
	schema.GroupVersion
	plural string
	goType reflect.Type
}

// crd is the name of the kind's CRD.
func (k kind) crd() string { return k.plural + "." + k.Group }

// kinds are those of a member cluster.
func kinds() []kind {
	own, mcs := v1alpha1.GroupVersion, schema.GroupVersion(mcsv1beta1.GroupVersion)
	return []kind{
		{own, "clustersets", reflect.TypeFor[v1alpha1.ClusterSet]()},
		{own, "gatewaynodes", reflect.TypeFor[v1alpha1.GatewayNode]()},
		{own, "remoteclusters", reflect.TypeFor[v1alpha1.RemoteCluster]()},
		{own, "trafficpolicies", reflect.TypeFor[v1alpha1.TrafficPolicy]()},
		{own, "exportpolicies", reflect.TypeFor[v1alpha1.ExportPolicy]()},
		{mcs, "serviceexports", reflect.TypeFor[mcsv1beta1.ServiceExport]()},
		{mcs, "serviceimports", reflect.TypeFor[mcsv1beta1.ServiceImport]()},
	}
}

// outdated says which CRDs lack fields that this version has, and which. It reads what the API server
// tells every client about its kinds, for which no right is needed. A CRD of a newer version has
// every field of this one.
func outdated(ctx context.Context, api openapi.ClientWithContext) ([]string, error) {
	paths, err := api.PathsWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking this cluster's API server for its schemas: %w", err)
	}
	served := map[schema.GroupVersion]map[string]*spec.Schema{}
	var problems []string
	for _, k := range kinds() {
		if served[k.GroupVersion] == nil {
			if served[k.GroupVersion], err = schemasOf(ctx, paths, k.GroupVersion); err != nil {
				return nil, err
			}
		}
		found := served[k.GroupVersion][k.goType.Name()]
		if found == nil {
			problems = append(problems, fmt.Sprintf("CustomResourceDefinition %s is missing or does not serve %s", k.crd(), k.Version))
			continue
		}
		if fields := missing(found, k.goType, ""); len(fields) > 0 {
			problems = append(problems, fmt.Sprintf("CustomResourceDefinition %s is of an older version: it lacks %s", k.crd(), clusterset.NameSome(fields)))
		}
	}
	return problems, nil
}

// schemasOf returns the schemas of a group and version, by kind. They are empty if it is not served.
func schemasOf(ctx context.Context, paths map[string]openapi.GroupVersionWithContext, gv schema.GroupVersion) (map[string]*spec.Schema, error) {
	byKind := map[string]*spec.Schema{}
	path := paths["apis/"+gv.String()]
	if path == nil {
		return byKind, nil
	}
	text, err := path.SchemaWithContext(ctx, runtime.ContentTypeJSON)
	if err != nil {
		return nil, fmt.Errorf("reading the schema of %s: %w", gv, err)
	}
	var all spec3.OpenAPI
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("reading the schema of %s: %w", gv, err)
	}
	if all.Components == nil {
		return byKind, nil
	}
	for _, s := range all.Components.Schemas {
		var of []schema.GroupVersionKind
		if err := s.Extensions.GetObject("x-kubernetes-group-version-kind", &of); err == nil && len(of) == 1 && of[0].GroupVersion() == gv {
			byKind[of[0].Kind] = s
		}
	}
	return byKind, nil
}

// missing returns the fields of a Go type that a schema does not have, as paths below at. Types that
// read their own JSON, such as metav1.Time, have no fields, nor has a schema that only refers to
// another one, such as that of metadata.
func missing(s *spec.Schema, t reflect.Type, at string) []string {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) || len(s.AllOf) > 0 || s.Ref.String() != "" {
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return missing(s, t.Elem(), at)
	case reflect.Slice:
		if s.Items != nil && s.Items.Schema != nil {
			return missing(s.Items.Schema, t.Elem(), at+"[]")
		}
	case reflect.Map:
		if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
			return missing(s.AdditionalProperties.Schema, t.Elem(), at+"[]")
		}
	case reflect.Struct:
		return missingOfStruct(s, t, at)
	}
	return nil
}

func missingOfStruct(s *spec.Schema, t reflect.Type, at string) []string {
	var fields []string
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" || len(f.Index) > 1 && t.FieldByIndex(f.Index[:1]).Tag.Get("json") != ",inline" {
			continue
		}
		path := strings.TrimPrefix(at+"."+name, ".")
		if property, ok := s.Properties[name]; ok {
			fields = append(fields, missing(&property, f.Type, path)...)
		} else {
			fields = append(fields, path)
		}
	}
	slices.Sort(fields)
	return fields
}
