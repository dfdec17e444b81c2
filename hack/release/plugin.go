package release

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

// plugin is the program behind `kubectl tombolo`.
const plugin = "kubectl-tombolo"

// platforms are those that the plugin is built for.
func platforms() []platform {
	return []platform{
		{"darwin", "amd64"}, {"darwin", "arm64"},
		{"linux", "amd64"}, {"linux", "arm64"},
		{"windows", "amd64"}, {"windows", "arm64"},
	}
}

// download is an archive of the plugin, as the krew manifest names it.
type download struct {
	OS, Arch string
	Archive  string // its file name
	SHA256   string
	Program  string // its name in the archive
}

// pluginPart writes an archive for each platform, and the krew manifest that names them.
func pluginPart(ctx context.Context, r Release) ([]string, error) {
	var names []string
	var downloads []download
	for _, p := range platforms() {
		d, err := r.pluginArchive(ctx, p)
		if err != nil {
			return nil, err
		}
		names, downloads = append(names, d.Archive), append(downloads, d)
	}
	manifest, err := krewManifest(r.Version, downloads)
	if err != nil {
		return nil, err
	}
	return append(names, krewFile), os.WriteFile(filepath.Join(r.Out, krewFile), manifest, 0o644)
}

// completion is the program by which kubectl completes the plugin's commands, in sh.
const completion = "kubectl_complete-tombolo"

// pluginArchive writes one archive: the plugin, the licence, which krew asks for, and the completion
// where there is a sh.
func (r Release) pluginArchive(ctx context.Context, p platform) (download, error) {
	program, err := r.build(ctx, plugin, p)
	if err != nil {
		return download{}, err
	}
	licence, err := os.ReadFile(filepath.Join(r.Tree, "LICENSE"))
	if err != nil {
		return download{}, err
	}
	files := []file{{"LICENSE", 0o644, licence}}
	if p.os != "windows" {
		text, err := os.ReadFile(filepath.Join(r.Tree, "cmd", plugin, completion))
		if err != nil {
			return download{}, err
		}
		files = append(files, file{completion, 0o755, text})
	}
	d := download{OS: p.os, Arch: p.arch, Program: plugin}
	pack, suffix := tarGz, ".tar.gz"
	if p.os == "windows" {
		pack, suffix = zipped, ".zip"
		d.Program += ".exe"
	}
	d.Archive = plugin + "_" + r.Version + "_" + p.String() + suffix
	d.SHA256, err = r.writeArchive(d.Archive, pack, append(files, file{d.Program, 0o755, program}))
	return d, err
}

// writeArchive packs the files into Out and returns the archive's SHA-256.
func (r Release) writeArchive(name string, pack func([]file, time.Time) ([]byte, error), files []file) (string, error) {
	data, err := pack(files, r.Time)
	if err != nil {
		return "", err
	}
	path := filepath.Join(r.Out, name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return "", err
	}
	return fileSum(path)
}
