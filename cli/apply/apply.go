// Package apply makes a cluster hold objects, or prints them for those who keep them in Git.
package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// fieldOwner owns what the command line writes, in server-side apply.
const fieldOwner = client.FieldOwner("kubectl-tombolo")

// Options are the flags of commands that write.
type Options struct {
	dryRun string
	output string
}

// Bind adds the flags.
func (o *Options) Bind(c *cobra.Command) {
	c.Flags().StringVar(&o.dryRun, "dry-run", "none", "none, or client: print the objects and change nothing")
	c.Flags().StringVarP(&o.output, "output", "o", "yaml", "how --dry-run=client prints the objects: yaml or json")
}

// Validate says which flag is wrong.
func (o *Options) Validate() error {
	if o.dryRun != "none" && o.dryRun != "client" {
		return fmt.Errorf("--dry-run %q: it may be none or client", o.dryRun)
	}
	if o.output != "yaml" && o.output != "json" {
		return fmt.Errorf("--output %q: it may be yaml or json", o.output)
	}
	return nil
}

// DryRun tells whether objects are printed only.
func (o *Options) DryRun() bool { return o.dryRun == "client" }

// Print writes the objects as a stream that kubectl apply reads.
func (o *Options) Print(out io.Writer, objects ...client.Object) error {
	for _, object := range objects {
		content, err := bare(object)
		if err != nil {
			return err
		}
		if o.output == "json" {
			text, err := json.MarshalIndent(content.Object, "", "  ")
			if err != nil {
				return fmt.Errorf("writing %s as JSON: %w", nameOf(object), err)
			}
			fmt.Fprintln(out, string(text))
			continue
		}
		text, err := yaml.Marshal(content.Object)
		if err != nil {
			return fmt.Errorf("writing %s as YAML: %w", nameOf(object), err)
		}
		fmt.Fprintf(out, "---\n%s", text)
	}
	return nil
}

// Objects makes the cluster hold the objects, in their order. Each must have its kind and version
// set.
func Objects(ctx context.Context, cluster client.Client, objects ...client.Object) error {
	for _, object := range objects {
		content, err := bare(object)
		if err != nil {
			return err
		}
		if err := cluster.Apply(ctx, client.ApplyConfigurationFromUnstructured(content), fieldOwner, client.ForceOwnership); err != nil {
			return fmt.Errorf("applying %s: %w", nameOf(object), err)
		}
	}
	return nil
}

// bare is the object without what the API server sets and an empty status.
func bare(object client.Object) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("converting %s: %w", nameOf(object), err)
	}
	u := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(content)}
	unstructured.RemoveNestedField(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	return u, nil
}

func nameOf(object client.Object) string {
	kind := object.GetObjectKind().GroupVersionKind().Kind
	if namespace := object.GetNamespace(); namespace != "" {
		return fmt.Sprintf("%s %s/%s", kind, namespace, object.GetName())
	}
	return fmt.Sprintf("%s %s", kind, object.GetName())
}

// establishing is how long an API server may take to serve a new kind.
const establishing = time.Minute

// Established waits until the API server serves the kinds of the CRDs among the objects.
func Established(ctx context.Context, cluster client.Client, objects ...client.Object) error {
	for _, object := range objects {
		if object.GetObjectKind().GroupVersionKind().Kind != "CustomResourceDefinition" {
			continue
		}
		err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, establishing, true, func(ctx context.Context) (bool, error) {
			crd := &apiextensionsv1.CustomResourceDefinition{}
			if err := cluster.Get(ctx, client.ObjectKeyFromObject(object), crd); err != nil {
				return false, err
			}
			for _, c := range crd.Status.Conditions {
				if c.Type == apiextensionsv1.Established && c.Status == apiextensionsv1.ConditionTrue {
					return true, nil
				}
			}
			return false, nil
		})
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("the API server does not serve %s after %s: kubectl describe crd %[1]s says why", object.GetName(), establishing)
		}
		if err != nil {
			return fmt.Errorf("waiting until %s is served: %w", object.GetName(), err)
		}
	}
	return nil
}
