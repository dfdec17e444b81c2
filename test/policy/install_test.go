//go:build integration

package policy

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/hack/testbin"
	"github.com/tombolo-net/tombolo/test/lab/controlplane"
)

// shellBlock is a block of commands in a page.
var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// section returns the commands of a section of docs/install.md, up to the next one.
func section(t *testing.T, heading string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "\n## "+heading)
	if !found {
		t.Fatalf("docs/install.md has no section %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var commands strings.Builder
	for _, block := range shellBlock.FindAllStringSubmatch(text, -1) {
		commands.WriteString(block[1])
	}
	if commands.Len() == 0 {
		t.Fatalf("section %q of docs/install.md has no commands", heading)
	}
	return commands.String()
}

// The commands in docs/install.md work as they stand, and give the member a token with which it
// reads the hub.
func TestInstallationPage(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	planes, err := controlplane.Start(ctx, controlplane.Config{Clusters: []controlplane.ClusterConfig{
		{Name: "hub", Controllers: controlplane.HubControllers()}, {Name: "east"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := planes.Stop(); err != nil {
			t.Error(err)
		}
	})
	onHub, inEast := planes.Cluster("hub"), planes.Cluster("east")
	east := clientFor(t, inEast.RESTConfig())
	for _, name := range []string{"east-1", "east-2"} {
		if err := east.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			t.Fatal(err)
		}
	}

	settings := map[string]string{
		"HUB": "hub", "HUB_SERVER": onHub.RESTConfig().Host, "MEMBER": "east", "CLUSTER_ID": "east",
		"RELEASE": installers(t), "INDEX": "1", "CIDRS": `["10.1.0.0/16"]`, "GATEWAYS": "east-1 east-2",
	}
	for _, heading := range []string{
		"1. The hub", "2. On the hub", "3. In each member",
		"2. On the hub", "3. In each member", // again
		"5. DNS",
	} {
		paste(ctx, t, planes.Kubeconfig(), settings, section(t, heading))
	}

	checkJoined(ctx, t, east, onHub.RESTConfig())
	paste(ctx, t, planes.Kubeconfig(), settings, section(t, "Leaving"))
	hubAdmin := clientFor(t, onHub.RESTConfig())
	left := &v1alpha1.Member{}
	if err := hubAdmin.Get(ctx, types.NamespacedName{Namespace: hub, Name: "east"}, left); err != nil || !left.Spec.Removed {
		t.Errorf("Member after leaving: %+v, error %v", left.Spec, err)
	}
	checkPolicyTypes(ctx, t, hubAdmin)
}

// checkJoined wants the member to have its ClusterSet, its gateways' labels, and a token that reads
// the hub and is refused what is not its own.
func checkJoined(ctx context.Context, t *testing.T, east client.Client, hubConfig *rest.Config) {
	t.Helper()
	set := &v1alpha1.ClusterSet{}
	if err := east.Get(ctx, types.NamespacedName{Name: v1alpha1.ClusterSetName}, set); err != nil {
		t.Fatal(err)
	}
	gateways := &corev1.NodeList{}
	if err := east.List(ctx, gateways, client.MatchingLabels{v1alpha1.LabelGateway: "true"}); err != nil || len(gateways.Items) != 2 {
		t.Errorf("%d nodes are gateways, want 2; error %v", len(gateways.Items), err)
	}
	access := &corev1.Secret{}
	name := types.NamespacedName{Namespace: system, Name: set.Spec.Hub.SecretRef.Name}
	if err := east.Get(ctx, name, access); err != nil {
		t.Fatal(err)
	}
	if got := string(access.Data["namespace"]); got != hub {
		t.Errorf("namespace in the Secret is %q, want %q", got, hub)
	}
	asMember := clientFor(t, &rest.Config{
		Host: set.Spec.Hub.Server, BearerToken: string(access.Data["token"]),
		TLSClientConfig: rest.TLSClientConfig{CAData: access.Data["ca.crt"], ServerName: hubConfig.ServerName},
	})
	members := &v1alpha1.MemberList{}
	if err := asMember.List(ctx, members, client.InNamespace(hub)); err != nil || len(members.Items) != 1 {
		t.Errorf("the member sees %d Members, want itself; error %v", len(members.Items), err)
	}
	for kind, object := range published(hub, "west.a", "west") {
		if err := asMember.Create(ctx, object, client.DryRunAll); !apierrors.IsForbidden(err) {
			t.Errorf("creating another's %s: got %v, want Forbidden", kind, err)
		}
	}
}

// checkPolicyTypes wants the API server to have no doubts about the types in the admission
// policies, once its controller has looked at them.
func checkPolicyTypes(ctx context.Context, t *testing.T, hubAdmin client.Client) {
	t.Helper()
	policy := &admissionv1.ValidatingAdmissionPolicy{}
	err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		err := hubAdmin.Get(ctx, types.NamespacedName{Name: "tombolo-members"}, policy)
		return policy.Status.ObservedGeneration == policy.Generation, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if checking := policy.Status.TypeChecking; checking != nil && len(checking.ExpressionWarnings) > 0 {
		t.Errorf("warnings about policy %s: %+v", policy.Name, checking.ExpressionWarnings)
	}
}

// paste runs the commands as a user's shell would, stopping at the first that fails.
func paste(ctx context.Context, t *testing.T, kubeconfig string, settings map[string]string, commands string) {
	t.Helper()
	binaries, err := testbin.Dir()
	if err != nil {
		t.Fatal(err)
	}
	shell := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", commands)
	shell.Dir = "../.."
	shell.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "PATH="+binaries+":"+os.Getenv("PATH"))
	for name, value := range settings {
		shell.Env = append(shell.Env, fmt.Sprintf("%s=%s", name, value))
	}
	if output, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\nfrom\n%s", err, output, commands)
	}
}

func clientFor(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	c, err := client.New(config, client.Options{Scheme: newScheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
