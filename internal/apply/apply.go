// Package apply writes what one process knows of an object, with server-side apply. The API server
// refuses a whole object for one field that its CRD does not have, as while an upgrade is under way or
// is taken back. Then the object is written without the field: what the CRD has must not wait for it.
package apply

import (
	"context"
	"regexp"
	"strings"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Object applies the object without its status, and takes fields from other owners.
func Object(ctx context.Context, c client.Client, owner client.FieldOwner, o *unstructured.Unstructured) error {
	return known(ctx, o, func(o *unstructured.Unstructured) error {
		return c.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), owner, client.ForceOwnership)
	})
}

// Status applies the object's status, and takes fields from other owners.
func Status(ctx context.Context, c client.Client, owner client.FieldOwner, o *unstructured.Unstructured) error {
	return known(ctx, o, func(o *unstructured.Unstructured) error {
		return c.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(o), owner, client.ForceOwnership)
	})
}

// refusals is how many refusals lead to an attempt with fewer fields. The API server may name one field at a time.
const refusals = 5

// known writes as much of the object as the CRD knows. The error is that of the last attempt.
func known(ctx context.Context, o *unstructured.Unstructured, write func(*unstructured.Unstructured) error) error {
	o = o.DeepCopy() // the caller's keeps its fields
	var without []string
	for range refusals {
		err := write(o)
		fields := unknown(err)
		if !remove(o, fields) {
			if err == nil && len(without) > 0 {
				logr.FromContextOrDiscard(ctx).Info("written without fields that the CRD does not have: apply the CRDs of this version",
					"kind", o.GetKind(), "namespace", o.GetNamespace(), "name", o.GetName(), "fields", without)
			}
			return err
		}
		without = append(without, fields...)
	}
	return write(o)
}

// undeclared matches what structured-merge-diff says of a field, such as
// .status.links[gateway="east-1"].rtt. What is in brackets selects an item of a list.
var undeclared = regexp.MustCompile(`((?:\.\w+(?:\[[^]]*\])*)+): field not declared in schema`)

// brackets matches what selects items.
var brackets = regexp.MustCompile(`\[[^]]*\]`)

// unknown are the paths of the fields that the error says are not in the CRD, without the selection of
// items.
func unknown(err error) []string {
	if err == nil {
		return nil
	}
	var paths []string
	for _, match := range undeclared.FindAllStringSubmatch(err.Error(), -1) {
		paths = append(paths, brackets.ReplaceAllString(match[1], ""))
	}
	return paths
}

// remove removes the fields from all items of lists on their paths. It reports whether one was there.
func remove(o *unstructured.Unstructured, paths []string) (removed bool) {
	for _, path := range paths {
		if removeOne(o.Object, strings.Split(strings.TrimPrefix(path, "."), ".")) {
			removed = true
		}
	}
	return removed
}

func removeOne(value any, path []string) (removed bool) {
	switch v := value.(type) {
	case map[string]any:
		if len(path) > 1 {
			return removeOne(v[path[0]], path[1:])
		}
		_, removed = v[path[0]]
		delete(v, path[0])
	case []any:
		for _, item := range v {
			if removeOne(item, path) {
				removed = true
			}
		}
	}
	return removed
}
