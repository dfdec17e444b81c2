// Package access gives a command its clusters: those of the contexts that the user names, by the
// user's own rights.
package access

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Flags say which clusters a command asks: kubectl's own flags, and --contexts.
type Flags struct {
	kube     *genericclioptions.ConfigFlags
	contexts []string
	all      bool
}

// NewFlags returns the flags with kubectl's defaults.
func NewFlags() *Flags { return &Flags{kube: genericclioptions.NewConfigFlags(false)} }

// Bind adds kubectl's flags: --kubeconfig, --context, --namespace, --as and the others.
func (f *Flags) Bind(flags *pflag.FlagSet) { f.kube.AddFlags(flags) }

// BindMany adds the flags of a command that asks several clusters at once.
func (f *Flags) BindMany(c *cobra.Command) {
	c.Flags().StringSliceVar(&f.contexts, "contexts", nil, "ask the clusters of these contexts of the kubeconfig, such as east,west")
	c.Flags().BoolVar(&f.all, "all-contexts", false, "ask the clusters of all contexts of the kubeconfig")
	c.MarkFlagsMutuallyExclusive("contexts", "all-contexts")
}

// Namespace is that of --namespace, or of the context. given is false if the user named none.
func (f *Flags) Namespace() (namespace string, given bool, err error) {
	if namespace, given, err = f.kube.ToRawKubeConfigLoader().Namespace(); err != nil {
		return "", false, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	return namespace, given && f.kube.Namespace != nil && *f.kube.Namespace != "", nil
}

// Cluster is that of --context, or of the current context.
func (f *Flags) Cluster() (*Cluster, error) {
	names, current, err := f.known()
	if err != nil {
		return nil, err
	}
	name := current
	if *f.kube.Context != "" {
		name = *f.kube.Context
	}
	return f.cluster(name, names)
}

// Named is the cluster of that context of the kubeconfig.
func (f *Flags) Named(context string) (*Cluster, error) {
	names, _, err := f.known()
	if err != nil {
		return nil, err
	}
	return f.cluster(context, names)
}

// Several are the Clusters of a command that needs two at least.
func (f *Flags) Several() ([]*Cluster, error) {
	clusters, err := f.Clusters()
	if err == nil && len(clusters) < 2 {
		err = errors.New("it takes two clusters: name their contexts with --contexts, such as --contexts east,west")
	}
	return clusters, err
}

// Clusters are those of --contexts or --all-contexts, in the order of the names that were given; or
// the one of --context.
func (f *Flags) Clusters() ([]*Cluster, error) {
	names, _, err := f.known()
	if err != nil {
		return nil, err
	}
	wanted := f.contexts
	if f.all {
		wanted = names
	}
	if len(wanted) == 0 {
		c, err := f.Cluster()
		return []*Cluster{c}, err
	}
	var all []*Cluster
	for _, name := range wanted {
		c, err := f.cluster(name, names)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// known are the contexts of the kubeconfig, sorted, and the current one.
func (f *Flags) known() (names []string, current string, err error) {
	raw, err := f.kube.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return nil, "", fmt.Errorf("reading the kubeconfig: %w", err)
	}
	for name := range raw.Contexts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, raw.CurrentContext, nil
}

func (f *Flags) cluster(name string, known []string) (*Cluster, error) {
	if name != "" && !slices.Contains(known, name) {
		return nil, fmt.Errorf("the kubeconfig has no context %q; it has %q", name, known)
	}
	before := *f.kube.Context
	defer func() { *f.kube.Context = before }()
	*f.kube.Context = name
	config, err := f.kube.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("reading context %q of the kubeconfig: %w", name, err)
	}
	// The API server's own priority and fairness limits how fast it is asked.
	config.QPS = -1
	c, err := client.New(config, client.Options{Scheme: scheme()})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("preparing a client of context %q", name), err)
	}
	return &Cluster{Context: name, Config: config, Client: c}, nil
}

// Cluster is one cluster that a command asks.
type Cluster struct {
	client.Client

	// Context of the kubeconfig. It is empty where no kubeconfig is used, such as inside a pod.
	Context string
	Config  *rest.Config
}

// scheme knows the kinds that commands read and write.
func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(apiextensionsv1.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	utilruntime.Must(mcsv1beta1.Install(s))
	return s
}
