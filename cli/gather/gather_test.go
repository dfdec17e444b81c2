package gather

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/supportbundle"
)

// TestBundle: every way into a bundle masks, and the index names what is there and what is not.
func TestBundle(t *testing.T) {
	var archive bytes.Buffer
	b, closeArchive := newBundle(&archive, "f", masker{}, index{Plugin: "v1"})
	if err := b.add("east/a.txt", "a file", []byte("with "+token)); err != nil {
		t.Fatal(err)
	}
	if err := b.add("east/long.txt", "a long file", bytes.Repeat([]byte("x"), maxFile+1)); err != nil {
		t.Fatal(err)
	}
	b.lack("east", "the rest", errors.New("refused "+token))
	b.knows(clusterFacts{Context: "east"})
	if _, err := b.finish(); err != nil {
		t.Fatal(err)
	}
	if err := closeArchive(); err != nil {
		t.Fatal(err)
	}
	files, err := supportbundle.Unpack(&archive)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if strings.Contains(text, token) {
			t.Errorf("%s holds a token", name)
		}
	}
	var got index
	if err := yaml.Unmarshal([]byte(files["index.yaml"]), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Files) != 2 || got.Files[0].Cut || !got.Files[1].Cut || len(files["east/long.txt"]) != maxFile {
		t.Errorf("files: %+v", got.Files)
	}
	if len(got.Missing) != 1 || got.Missing[0].Why != "refused "+masked || len(got.Clusters) != 1 {
		t.Errorf("index: %+v", got)
	}
}

func TestTail(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		cut      bool
	}{{"", "", false}, {"abc", "abc", false}, {"abcd", "bcd", true}, {strings.Repeat("x", 200_000) + "end", "end", true}} {
		got, cut, err := tail(strings.NewReader(tt.in), 3)
		if string(got) != tt.want || cut != tt.cut || err != nil {
			t.Errorf("%d bytes: got %q, %t, %v", len(tt.in), got, cut, err)
		}
	}
}

func TestChoose(t *testing.T) {
	node := func(name, gateway string, serves corev1.ConditionStatus) corev1.Node {
		n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.LabelGateway: gateway}}}
		n.Status.Conditions = []corev1.NodeCondition{{Type: v1alpha1.NodeConditionDataplane, Status: serves}}
		return n
	}
	nodes := []corev1.Node{node("gw", "true", corev1.ConditionTrue), node("sick", "", corev1.ConditionFalse)}
	for _, name := range strings.Split("bcdefghijklma", "") {
		nodes = append(nodes, node(name, "", corev1.ConditionTrue))
	}
	taken, left := choose(nodes, nil)
	if want := []string{"gw", "sick", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}; !slices.Equal(taken, want) || len(left) != 3 {
		t.Errorf("got %q, %d left", taken, len(left))
	}
	if taken, left := choose(nodes, []string{"m", "nowhere"}); !slices.Equal(taken, []string{"m"}) || len(left) != 0 {
		t.Errorf("named: got %q and %q", taken, left)
	}
}

type answering struct{}

func (answering) RoundTrip(*http.Request) (*http.Response, error) { return &http.Response{}, nil }

func TestNoSecrets(t *testing.T) {
	for path, refused := range map[string]bool{
		"/api/v1/secrets": true, "/api/v1/namespaces/a/secrets": true, "/api/v1/namespaces/a/secrets/b": true,
		"/api/v1/namespaces/a/serviceaccounts/b/token": true,
		"/api/v1/namespaces/a/pods":                    false, "/api/v1/namespaces/secretservice/pods": false,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://host"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (noSecrets{answering{}}).RoundTrip(request); (err != nil) != refused {
			t.Errorf("%s: got %v", path, err)
		}
	}
}
