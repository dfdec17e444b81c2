package release

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func someFiles() []file {
	return []file{{"LICENSE", 0o644, []byte("free")}, {"program", 0o755, []byte("does it")}}
}

// TestTarGz: GNU tar reads names, modes, owners and times, whatever the clock says now.
func TestTarGz(t *testing.T) {
	data, err := tarGz(someFiles(), time.Date(2026, 12, 1, 10, 0, 0, 7, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("tar", "--list", "--verbose", "--gzip", "--numeric-owner", "--full-time")
	cmd.Stdin, cmd.Env = bytes.NewReader(data), append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	want := "-rw-r--r-- 0/0 4 2026-12-01 10:00:00 LICENSE\n-rwxr-xr-x 0/0 7 2026-12-01 10:00:00 program\n"
	if diff := cmp.Diff(want, squeeze(string(out))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if stamp := data[4:8]; !bytes.Equal(stamp, make([]byte, 4)) {
		t.Errorf("the gzip header has the time %x", stamp)
	}
}

// squeeze turns runs of blanks in each line into one.
func squeeze(text string) string {
	var lines strings.Builder
	for line := range strings.Lines(text) {
		lines.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	return lines.String()
}

func TestZipped(t *testing.T) {
	at := time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)
	data, err := zipped(someFiles(), at)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range someFiles() {
		f := archive.File[i]
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name != want.name || f.Mode() != want.mode || !f.Modified.Equal(at) || !bytes.Equal(content, want.content) {
			t.Errorf("file %d is %s, %s, %s, %q", i, f.Name, f.Mode(), f.Modified, content)
		}
	}
}
