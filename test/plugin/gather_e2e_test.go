//go:build e2e

package plugin

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/tombolo-net/tombolo/gateway/keyfile"
	"github.com/tombolo-net/tombolo/test/harness/supportbundle"
)

// testGather: a support bundle has what is asked for in docs/plugin.md, and no secret of the lab.
func testGather(t *testing.T, s *site) {
	planted := s.plant()
	secrets := s.secrets(planted)
	archive := filepath.Join(t.TempDir(), "bundle.tar.gz")
	if out := s.tombolo("gather", "--contexts", "east,west,hub", "--file", archive); strings.TrimSpace(out) != archive {
		t.Errorf("it printed %q, not the name of its file", out)
	}
	files := unpack(t, archive)
	for name, text := range files {
		for _, secret := range secrets {
			if strings.Contains(text, secret.text) {
				t.Errorf("%s holds the %s", name, secret.what)
			}
		}
	}
	checkMissing(t, files["index.yaml"])
	key := s.kubectl("west", "-n", "tombolo-system", "get", "gatewaynodes", "-o", "jsonpath={.items[0].spec.publicKey}")
	gateway := strings.Split(s.gateways(), ",")[0]
	for _, want := range []struct{ file, text string }{
		{"topology.json", `"clusterSet": "demo"`},
		{"east/objects/serviceexports.yaml", "[masked]"},
		{"east/logs/planted/planted.log", "[masked]"},
		{"east/objects/exported-services.yaml", "kind: EndpointSlice"},
		{"west/objects/gatewaynodes.yaml", key},
		{"hub/objects/members.yaml", "name: west"},
		{"hub/objects/exportedservices.yaml", "plugin"},
		{"west/events.txt", "tombolo-dataplane"},
		{"west/nodes/" + gateway + "/wireguard.txt", key},
		{"west/nodes/" + gateway + "/network.txt", "tombolo0"},
		{"west/nodes/" + gateway + "/nft.txt", "tombolo"},
		{"west/nodes/" + gateway + "/ipvs.txt", "IP"},
		{"west/nodes/" + gateway + "/settings.txt", "net/ipv4/ip_forward = 1"},
		{"west/nodes/" + gateway + "/gateway-metrics.txt", "tombolo_gateway_link_up"},
		{"west/nodes/" + gateway + "/dataplane-metrics.txt", "tombolo_dataplane_ready"},
		{"west/nodes/" + gateway + "/served.txt", "/explain/plugin/web"},
	} {
		if !strings.Contains(files[want.file], want.text) {
			t.Errorf("%s has %d bytes, and no %q", want.file, len(files[want.file]), want.text)
		}
	}
	for cluster, file := range map[string]string{"east": "tombolo-operator", "west": "tombolo-gateway"} {
		if !slices.ContainsFunc(names(files), func(name string) bool { return strings.HasPrefix(name, cluster+"/logs/"+file) }) {
			t.Errorf("there is no log of %s of %s", file, cluster)
		}
	}
}

// checkMissing: on the lab everything can be had.
func checkMissing(t *testing.T, text string) {
	t.Helper()
	var index struct {
		Files   []struct{ Path, What string }
		Missing []struct{ Context, What, Why string }
	}
	if err := yaml.Unmarshal([]byte(text), &index); err != nil {
		t.Fatal(err)
	}
	if len(index.Missing) > 0 || len(index.Files) < 40 {
		t.Errorf("it has %d files; missing: %+v", len(index.Files), index.Missing)
	}
}

// plant lets secrets stand where they may not stand, in annotations, in an environment and in a log,
// and returns the one that is nowhere else.
func (s *site) plant() string {
	key, token := s.privateKeys()[0], s.kubectl("east", "create", "token", "default")
	s.kubectl("east", "-n", "plugin", "annotate", "--overwrite", "serviceexport", "web", "example.com/token="+token,
		"example.com/base64="+base64.StdEncoding.EncodeToString([]byte(token)), "example.com/key="+key)
	// tombolo logs a command that it does not know.
	image := s.kubectl("east", "-n", "tombolo-system", "get", "deployment", "tombolo-operator", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	s.kubectl("east", "-n", "tombolo-system", "run", "planted", "--image="+image, "--image-pull-policy=IfNotPresent", "--restart=Never",
		"--env=HUB_TOKEN="+token, "--", token+" "+key)
	s.t.Cleanup(func() {
		if _, err := s.Kubectl(context.WithoutCancel(s.t.Context()), "east", "-n", "tombolo-system", "delete", "pod", "planted", "--wait=false"); err != nil {
			s.t.Error(err)
		}
	})
	s.kubectl("east", "-n", "tombolo-system", "wait", "--for=jsonpath={.status.phase}=Failed", "--timeout=60s", "pod/planted")
	if log := s.kubectl("east", "-n", "tombolo-system", "logs", "planted"); !strings.Contains(log, token) || !strings.Contains(log, key) {
		s.t.Fatalf("the log has no secret: %s", log)
	}
	return token
}

// privateKeys are those of all gateways of both clusters.
func (s *site) privateKeys() []string {
	var keys []string
	for _, cluster := range []string{"east", "west"} {
		nodes, err := s.Nodes(s.t.Context(), cluster, "clusterset.tombolo.dev/gateway=true")
		if err != nil {
			s.t.Fatal(err)
		}
		for _, node := range nodes {
			keys = append(keys, s.onNode(node, "cat", keyfile.Path))
		}
	}
	return keys
}

func (s *site) onNode(node string, command ...string) string {
	s.t.Helper()
	out, err := s.OnNode(s.t.Context(), node, command...)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// secret is a text that a bundle may not hold.
type secret struct{ what, text string }

// secrets are the planted one and all of the lab: the values of Secrets, the gateways' private keys, and
// the tokens of pods. Each is there as it is and in base64, keys in hexadecimal digits, too.
func (s *site) secrets(planted string) []secret {
	var all []secret
	add := func(what, text string) {
		if text = strings.TrimSpace(text); len(text) >= 8 {
			all = append(all, secret{what, text}, secret{what + " in base64", base64.StdEncoding.EncodeToString([]byte(text))})
		}
	}
	add("planted token", planted)
	for _, cluster := range []string{"east", "west", "hub"} {
		var list corev1.SecretList
		if err := json.Unmarshal([]byte(s.kubectl(cluster, "get", "secrets", "--all-namespaces", "-o", "json")), &list); err != nil {
			s.t.Fatal(err)
		}
		for _, o := range list.Items {
			for key, value := range o.Data {
				if key == corev1.ServiceAccountNamespaceKey || key == corev1.ServiceAccountRootCAKey {
					continue // everybody may know them
				}
				add(key+" of Secret "+o.Namespace+"/"+o.Name+" of "+cluster, string(value))
			}
		}
	}
	for _, key := range s.privateKeys() {
		add("private key of a gateway", key)
		raw, err := base64.StdEncoding.DecodeString(key)
		if err != nil {
			s.t.Fatal(err)
		}
		add("private key of a gateway in digits", hex.EncodeToString(raw))
	}
	tokens := 0
	for _, cluster := range []string{"east", "west"} {
		for _, node := range strings.Fields(s.kubectl(cluster, "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}")) {
			found := s.onNode(node, "sh", "-c", `find /var/lib/kubelet/pods -path '*kubernetes.io~projected/*/token' -exec cat {} \; -exec echo \;`)
			for _, token := range strings.Fields(found) {
				add("token of a pod on "+node, token)
				tokens++
			}
		}
	}
	if len(all) < 10 || tokens == 0 {
		s.t.Fatalf("the lab has %d secrets, and %d tokens: the test looks in wrong places", len(all), tokens)
	}
	return all
}

// unpack returns the files of a bundle.
func unpack(t *testing.T, archive string) map[string]string {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	files, err := supportbundle.Unpack(f)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func names(files map[string]string) []string {
	var all []string
	for name := range files {
		all = append(all, name)
	}
	return all
}
