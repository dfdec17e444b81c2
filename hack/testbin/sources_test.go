package testbin

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sumA, sumB = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

func TestParseSources(t *testing.T) {
	tests := []struct {
		name, in string
		want     map[string]source
		wantErr  string
	}{
		{name: "empty", want: map[string]source{}},
		{name: "comments and blanks", in: "# a\n\n", want: map[string]source{}},
		{name: "two", in: "x v1 " + sumA + "\ny v2 " + sumB + "\n",
			want: map[string]source{"x": {"v1", sumA}, "y": {"v2", sumB}}},
		{name: "no digest", in: "x v1\n", wantErr: "line 1"},
		{name: "short digest", in: "# a\nx v1 aaaa\n", wantErr: "line 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseSources([]byte(tt.in))
			checkErr(t, err, tt.wantErr)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(source{})); diff != "" {
				t.Errorf("parseSources (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRequiredVersion(t *testing.T) {
	tests := []struct{ name, gomod, want string }{
		{"one line", "module a\nrequire m.test/x v1.2.3\n", "v1.2.3"},
		{"block", "require (\n\tm.test/x v1.2.3 // indirect\n)\n", "v1.2.3"},
		{"longer path", "require m.test/x/v2 v2.0.0\n", ""},
		{"replaced only", "replace m.test/x => ./x\n", ""},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := requiredVersion(tt.gomod, "m.test/x"); got != tt.want {
				t.Errorf("requiredVersion = %q, want %q", got, tt.want)
			}
		})
	}
}

// TestSourcesCurrent fails when a folder was changed without go generate.
func TestSourcesCurrent(t *testing.T) {
	got, err := readSources(".")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(pinnedSources), string(got)); diff != "" {
		t.Errorf("SOURCES is out of date, run go generate (-SOURCES +folders):\n%s", diff)
	}
}

// TestToolsImportPrograms compares the table of programs with what each
// folder's tools.go keeps in its go.mod.
func TestToolsImportPrograms(t *testing.T) {
	want := map[string][]string{}
	for _, p := range slices.Concat(goPrograms(), kindPrograms()) {
		if p.pkg != "." {
			want[p.folder] = append(want[p.folder], p.pkg)
		}
	}
	for folder, pkgs := range want {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(folder, "tools.go"), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, imp := range file.Imports {
			path, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, path)
		}
		slices.Sort(pkgs)
		slices.Sort(got)
		if diff := cmp.Diff(pkgs, got); diff != "" {
			t.Errorf("%s/tools.go (-table +imports):\n%s", folder, diff)
		}
	}
}

// TestRecipeKeys checks that everything that decides a build shows in its key.
func TestRecipeKeys(t *testing.T) {
	base := goBuild{folder: "f", digest: "d", pkg: "p", tags: "t", ldflags: []string{"-X", "a=b"}}
	of := func(name, version string, b builder) string {
		return recipe{name: name, version: version, builder: b}.key()
	}
	change := func(f func(*goBuild)) goBuild {
		b := base
		f(&b)
		return b
	}
	keys := map[string]string{
		"base":    of("n", "v1", base),
		"name":    of("o", "v1", base),
		"version": of("n", "v2", base),
		"folder":  of("n", "v1", change(func(b *goBuild) { b.folder = "g" })),
		"digest":  of("n", "v1", change(func(b *goBuild) { b.digest = "e" })),
		"pkg":     of("n", "v1", change(func(b *goBuild) { b.pkg = "q" })),
		"tags":    of("n", "v1", change(func(b *goBuild) { b.tags = "" })),
		"ldflags": of("n", "v1", change(func(b *goBuild) { b.ldflags = nil })),
		"cgo":     of("n", "v1", change(func(b *goBuild) { b.cgo = true })),
		"kernel":  of("n", "v1", kernelBuild{version: "1", config: "a"}),
		"source":  of("n", "v1", kernelBuild{version: "2", config: "a"}),
		"config":  of("n", "v1", kernelBuild{version: "1", config: "b"}),
	}
	seen := map[string]string{}
	for what, key := range keys {
		if other, twice := seen[key]; twice {
			t.Errorf("changing %s and %s gives one key %s", what, other, key)
		}
		seen[key] = what
	}
}

func TestPinnedRecipes(t *testing.T) {
	if _, err := pinnedRecipes("other"); err == nil {
		t.Error("no error for an unknown set")
	}
	var recipes []recipe
	for _, set := range []string{DefaultSet, KindSet, FlannelSet} {
		more, err := pinnedRecipes(set)
		if err != nil {
			t.Fatal(err)
		}
		recipes = append(recipes, more...)
	}
	var got []string
	for _, r := range recipes {
		got = append(got, r.name)
		if r.version == "" || r.usual <= 0 {
			t.Errorf("%s: version %q, usual %s", r.name, r.version, r.usual)
		}
	}
	slices.Sort(got)
	want := []string{"cni-bridge", "cni-host-local", "cni-loopback", "cni-portmap", "cni-ptp", "containerd",
		"containerd-shim-runc-v2", "coredns", "crictl", "ctr", "etcd", "flanneld", "kind", "kube-apiserver", "kube-controller-manager",
		"kube-proxy", "kube-scheduler", "kubeadm", "kubectl", "kubelet", "linux-uml", "runc"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("programs (-want +got):\n%s", diff)
	}
}

// checkErr compares err with a part of its text; "" wants none.
func checkErr(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Fatalf("error %v, want none", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Fatalf("error %v, want one with %q", err, want)
	}
}

// TestKubeadmPins compares what kubeadm is built from with what the other
// programs of Kubernetes are built from: they are to be of one release.
func TestKubeadmPins(t *testing.T) {
	sources, err := parseSources(pinnedSources)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := sources["kubeadm"].version, sources["kubernetes"].version; got != want {
		t.Errorf("kubeadm is %s, the other programs of Kubernetes are %s: change both go.mod", got, want)
	}
}

// TestOldestKubernetes: the oldest release in docs/install.md is the one that make test-skew runs.
func TestOldestKubernetes(t *testing.T) {
	text, err := os.ReadFile("../../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := parseSources(pinnedSources)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(strings.TrimPrefix(sources[oldestFolder].version, "v"), ".")
	if want := "| Kubernetes " + parts[0] + "." + parts[1] + " or later"; !strings.Contains(string(text), want) {
		t.Errorf("docs/install.md does not say %q", want)
	}
}

// TestSetsOfAPIServers: they differ from the default set in the API server only.
func TestSetsOfAPIServers(t *testing.T) {
	usual, err := pinnedRecipes(DefaultSet)
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range []string{OldestSet, NewestSet} {
		recipes, err := pinnedRecipes(set)
		if err != nil {
			t.Fatal(err)
		}
		var changed []string
		for i, r := range recipes {
			if r.key() != usual[i].key() {
				changed = append(changed, r.name)
			}
		}
		if diff := cmp.Diff([]string{"kube-apiserver"}, changed); diff != "" {
			t.Errorf("set %s: programs that differ from the default set's (-want +got):\n%s", set, diff)
		}
	}
}
