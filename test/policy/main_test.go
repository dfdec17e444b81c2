//go:build integration

package policy

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/hack/testbin"
)

// The API server that every test of the package shares, and an admin's way to it. Set once by
// TestMain.
var (
	adminConfig     *rest.Config
	adminKubeconfig []byte
	admin           client.Client
	kubectl         func(args ...string) (stdout, stderr io.Reader, err error)
	// addUser makes a client certificate.
	addUser func(envtest.User) (*rest.Config, error)
)

// system is the namespace that tombolo is installed in. TestElsewhere sets the variable for a process
// of its own.
var system = cmp.Or(os.Getenv(namespaceVariable), v1alpha1.DefaultNamespace)

// config/ as seen from this package's folder.
const configDir = "../../config"

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "policy:", err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	binaries, err := testbin.Dir()
	if err != nil {
		return 1, err
	}
	server := &envtest.Environment{
		BinaryAssetsDirectory: binaries,
		CRDDirectoryPaths:     []string{filepath.Join(configDir, "crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}
	// As in a real cluster, a kubelet's certificate has a node's rights and limits.
	server.ControlPlane.GetAPIServer().Configure().Set("authorization-mode", "Node", "RBAC").
		Append("enable-admission-plugins", "NodeRestriction")
	if adminConfig, err = server.Start(); err != nil {
		return 1, fmt.Errorf("starting an API server: %w", err)
	}
	defer func() {
		if stopErr := server.Stop(); stopErr != nil && err == nil {
			code, err = 1, fmt.Errorf("stopping the API server: %w", stopErr)
		}
	}()
	addUser = func(user envtest.User) (*rest.Config, error) {
		added, err := server.AddUser(user, nil)
		if err != nil {
			return nil, fmt.Errorf("adding the user %s: %w", user.Name, err)
		}
		return added.Config(), nil
	}
	adminConfig.QPS = -1
	if admin, err = client.New(adminConfig, client.Options{Scheme: newScheme()}); err != nil {
		return 1, err
	}
	// A hub and a member cluster in one API server.
	if err := prepareKubectl(server); err != nil {
		return 1, err
	}
	if _, err := apply("hub"); err != nil {
		return 1, err
	}
	if err := installMember(); err != nil {
		return 1, err
	}
	if err := waitForPolicies(context.Background()); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// prepareKubectl makes kubectl an admin's.
func prepareKubectl(server *envtest.Environment) error {
	user, err := server.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		return fmt.Errorf("adding a user: %w", err)
	}
	k, err := user.Kubectl()
	if err != nil {
		return fmt.Errorf("preparing kubectl: %w", err)
	}
	kubectl = k.Run
	adminKubeconfig, err = user.KubeConfig()
	return err
}

// apply applies a folder of config/, as a user does, and returns what kubectl says: a line for each
// object.
func apply(folder string) (string, error) {
	return run("apply", "--kustomize", filepath.Join(configDir, folder))
}

// installMember applies config/default, in the namespace system.
func installMember() error {
	if system == v1alpha1.DefaultNamespace {
		_, err := apply("default")
		return err
	}
	dir, err := os.MkdirTemp("", "tombolo-policy-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	text, err := pageOverlay("config/default")
	if err != nil {
		return err
	}
	if err := writeKustomization(dir, text); err != nil {
		return err
	}
	_, err = run("apply", "--kustomize", dir)
	return err
}

// run runs kubectl and returns its output. The error holds what it says.
func run(args ...string) (string, error) {
	stdout, stderr, err := kubectl(args...)
	if err != nil {
		text, _ := io.ReadAll(stderr)
		return "", fmt.Errorf("running kubectl %s: %w: %s", strings.Join(args, " "), err, text)
	}
	text, err := io.ReadAll(stdout)
	return string(text), err
}

// newScheme returns a scheme with every kind that tombolo reads or writes.
func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	utilruntime.Must(mcsv1alpha1.Install(scheme))
	utilruntime.Must(mcsv1beta1.Install(scheme))
	return scheme
}
