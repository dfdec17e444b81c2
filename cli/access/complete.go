package access

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// completing is how long somebody who presses the tabulator waits for a cluster.
const completing = 3 * time.Second

// CompleteContexts proposes the contexts of the kubeconfig.
func (f *Flags) CompleteContexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	names, _, err := f.known()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// CompleteNamespaces proposes the cluster's namespaces.
func (f *Flags) CompleteNamespaces(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return f.complete(c.Context(), corev1.SchemeGroupVersion.WithKind("Namespace"), false)
}

// CompleteNames proposes the names of the cluster's objects of a kind, of all namespaces.
func (f *Flags) CompleteNames(kind schema.GroupVersionKind) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return f.complete(c.Context(), kind, false)
	}
}

// CompleteName proposes, for a command's only argument, the names of objects of a kind in the
// namespace of --namespace.
func (f *Flags) CompleteName(kind schema.GroupVersionKind) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f.complete(c.Context(), kind, true)
	}
}

// complete lists names: of all namespaces, or of that of --namespace. If the cluster does not answer,
// there are none: nobody looks for errors in a completion.
func (f *Flags) complete(ctx context.Context, kind schema.GroupVersionKind, inNamespace bool) ([]string, cobra.ShellCompDirective) {
	cluster, err := f.Cluster()
	if err != nil {
		cobra.CompErrorln(err.Error())
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var options []client.ListOption
	if inNamespace {
		namespace, _, err := f.Namespace()
		if err != nil {
			cobra.CompErrorln(err.Error())
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		options = append(options, client.InNamespace(namespace))
	}
	ctx, stop := context.WithTimeout(ctx, completing)
	defer stop()
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	if err := cluster.List(ctx, list, options...); err != nil {
		cobra.CompErrorln(err.Error())
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, o := range list.Items {
		names = append(names, o.Name)
	}
	slices.Sort(names)
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}
