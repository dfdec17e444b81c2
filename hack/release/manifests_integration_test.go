//go:build integration

package release

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestManifests: what is installed has the release's image and no other, twice the same bytes, and
// Helm takes the chart's archive.
func TestManifests(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0a", 32)
	other := "sha256:" + strings.Repeat("ff", 32)
	var made [2]map[string]string
	var chart string
	for i := range made {
		r := Release{Version: "v1.2.3", Time: time.Unix(1_800_000_000, 0).UTC(), Tree: "../..", Out: t.TempDir()}
		made[i] = map[string]string{}
		if err := os.WriteFile(filepath.Join(r.Out, digestFile), []byte(digest+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, part := range []func(context.Context, Release) ([]string, error){manifestsPart, chartPart} {
			names, err := part(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				content, err := os.ReadFile(filepath.Join(r.Out, name))
				if err != nil {
					t.Fatal(err)
				}
				made[i][name] = string(content)
			}
		}
		chart = filepath.Join(r.Out, "tombolo-1.2.3.tgz")
	}
	if diff := cmp.Diff(made[0], made[1]); diff != "" {
		t.Errorf("made twice, they differ:\n%s", diff)
	}
	if text := made[0]["install.yaml"]; strings.Count(text, "image: ") != strings.Count(text, "image: ghcr.io/tombolo-net/tombolo:v1.2.3@"+digest+"\n") || !strings.Contains(text, "image: ") {
		t.Error("install.yaml has another image than the release's, or none")
	}
	helm, err := exec.Command("../tool.sh", "helm4").Output()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(strings.TrimSpace(string(helm)), "show", "chart", chart).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "appVersion: v1.2.3") {
		t.Errorf("helm says of the chart: %v, %s", err, out)
	}
	for set, want := range map[string]string{
		"image.repository=example.com/mirror": "example.com/mirror:v1.2.3@" + digest,
		"image.tag=v9":                        "ghcr.io/tombolo-net/tombolo:v9",
		"image.digest=" + other:               "ghcr.io/tombolo-net/tombolo:v1.2.3@" + other,
	} {
		out, err := exec.Command(strings.TrimSpace(string(helm)), "template", chart, "--set", set).CombinedOutput()
		if n := strings.Count(string(out), "image: "); err != nil || n == 0 || n != strings.Count(string(out), "image: "+want+"\n") && n != strings.Count(string(out), "image: \""+want+"\"\n") {
			t.Errorf("with %s, want the image %s everywhere: %v\n%s", set, want, err, out)
		}
	}
}
