package cli

import (
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/access"
)

// complete lets shells propose names: of contexts, namespaces, nodes, clusters and Services.
func complete(root *cobra.Command, flags *access.Flags) {
	mcs := schema.GroupVersion{Group: mcsv1beta1.GroupName, Version: mcsv1beta1.GroupVersion.Version}
	services, exports := flags.CompleteName(corev1.SchemeGroupVersion.WithKind("Service")), flags.CompleteName(mcs.WithKind("ServiceExport"))
	imports, members := flags.CompleteName(mcs.WithKind("ServiceImport")), flags.CompleteNames(v1alpha1.GroupVersion.WithKind("Member"))
	nodes, remotes := flags.CompleteNames(corev1.SchemeGroupVersion.WithKind("Node")), flags.CompleteNames(v1alpha1.GroupVersion.WithKind("RemoteCluster"))
	arguments := map[string]cobra.CompletionFunc{
		"export": services, "unexport": exports, "explain": imports, "add": members, "remove": members, "join": cobra.NoFileCompletions,
	}
	ofFlags := map[string]cobra.CompletionFunc{
		"context": flags.CompleteContexts, "contexts": flags.CompleteContexts, "member-context": flags.CompleteContexts,
		"namespace": flags.CompleteNamespaces, "gateways": nodes, "nodes": nodes, "to": remotes, "if-down": remotes,
	}
	walk(root, func(c *cobra.Command) {
		if f, ok := arguments[c.Name()]; ok && c.ValidArgsFunction == nil {
			c.ValidArgsFunction = f
		}
		for name, f := range ofFlags {
			if _, known := c.GetFlagCompletionFunc(name); !known && c.Flag(name) != nil {
				utilruntime.Must(c.RegisterFlagCompletionFunc(name, inList(f))) // the flag is there
			}
		}
	})
}

// inList proposes for the last part of a list that is divided by commas.
func inList(f cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		before := typed[:strings.LastIndex(typed, ",")+1]
		names, directive := f(c, args, typed)
		for i := range names {
			names[i] = before + names[i]
		}
		return names, directive
	}
}

func walk(c *cobra.Command, do func(*cobra.Command)) {
	do(c)
	for _, child := range c.Commands() {
		walk(child, do)
	}
}
