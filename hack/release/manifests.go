package release

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// manifestsPart writes what `kubectl apply` takes: a member, and the hub.
func manifestsPart(ctx context.Context, r Release) ([]string, error) {
	image, err := r.pinnedImage()
	if err != nil {
		return nil, err
	}
	var names []string
	for folder, name := range map[string]string{"default": "install.yaml", "hub": "hub.yaml"} {
		cmd := exec.CommandContext(ctx, "hack/manifests.sh", folder, image)
		cmd.Dir = r.Tree
		text, err := shell.Output(cmd)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(r.Out, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// chartPart writes the archive of the Helm chart. `helm package` would put the time of day into it.
func chartPart(ctx context.Context, r Release) ([]string, error) {
	image, err := r.pinnedImage()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tombolo-chart-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	chart := filepath.Join(dir, "tombolo")
	cmd := exec.CommandContext(ctx, "go", "run", "./hack/chart", "-out", chart, "-version", r.Version, "-image", image)
	cmd.Dir = r.Tree
	if _, err := shell.Output(cmd); err != nil {
		return nil, err
	}
	files, err := filesBelow(chart)
	if err != nil {
		return nil, err
	}
	name := "tombolo-" + strings.TrimPrefix(r.Version, "v") + ".tgz" // as Helm calls it
	_, err = r.writeArchive(name, tarGz, files)
	return []string{name}, err
}

// filesBelow returns the files of a folder, sorted by path, each with the folder's name before it.
func filesBelow(dir string) ([]file, error) {
	var files []file
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		files = append(files, file{path.Join(filepath.Base(dir), name), 0o644, content})
		return err
	})
	return files, err
}
