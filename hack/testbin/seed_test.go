package testbin

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseVersions(t *testing.T) {
	tests := []struct {
		name, in string
		want     map[string]seedEntry
		wantErr  string
	}{
		{name: "empty", want: map[string]seedEntry{}},
		{name: "comments, blanks, spaces", in: "# x\n\n  a   v1\t" + sumA + "  \n",
			want: map[string]seedEntry{"a": {"v1", sumA}}},
		{name: "version with plus and tilde", in: "k 6.12-1~deb12u1+config:931df337b3bb " + sumB + "\n",
			want: map[string]seedEntry{"k": {"6.12-1~deb12u1+config:931df337b3bb", sumB}}},
		{name: "two fields", in: "a v1\n", wantErr: "line 1"},
		{name: "four fields", in: "a v1 " + sumA + " x\n", wantErr: "line 1"},
		{name: "digest too short", in: "\na v1 abc\n", wantErr: "line 2"},
		{name: "digest in capitals", in: "a v1 " + strings.ToUpper(sumA), wantErr: "line 1"},
		{name: "name twice", in: "a v1 " + sumA + "\na v2 " + sumA + "\n", wantErr: "a comes twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseVersions(strings.NewReader(tt.in))
			checkErr(t, err, tt.wantErr)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(seedEntry{})); diff != "" {
				t.Errorf("parseVersions (-want +got):\n%s", diff)
			}
		})
	}
}

// seedFile is one program of a seed that a test makes.
type seedFile struct {
	name, version string
	content       string
	sum           string // "" means that of content
}

// writeSeed makes a seed's folder and returns it.
func writeSeed(t *testing.T, files ...seedFile) string {
	t.Helper()
	dir := t.TempDir()
	var versions, archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, f := range files {
		sum := f.sum
		if sum == "" {
			raw := sha256.Sum256([]byte(f.content))
			sum = hex.EncodeToString(raw[:])
		}
		fmt.Fprintf(&versions, "%s %s %s\n", f.name, f.version, sum)
		must(t, w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o755, Size: int64(len(f.content)), Typeflag: tar.TypeReg}))
		_, err := w.Write([]byte(f.content))
		must(t, err)
	}
	must(t, w.Close())
	must(t, os.WriteFile(filepath.Join(dir, "VERSIONS"), versions.Bytes(), 0o644))
	path := filepath.Join(dir, "testbin.tar.xz")
	xz := exec.CommandContext(t.Context(), "xz", "--stdout")
	xz.Stdin = &archive
	compressed, err := xz.Output()
	must(t, err)
	must(t, os.WriteFile(path, compressed, 0o644))
	return dir
}

func TestSeed(t *testing.T) {
	good := func(name string) seedFile { return seedFile{name: name, version: "v1", content: "seed of " + name} }
	// Random-looking content, so that the archive is long enough to be cut.
	long := seedFile{name: "b", version: "v1", content: strings.Repeat(pseudoRandom(1<<16), 4)}
	cut := func(t *testing.T, dir string) {
		path := filepath.Join(dir, "testbin.tar.xz")
		fi, err := os.Stat(path)
		must(t, err)
		must(t, os.Truncate(path, fi.Size()/2))
	}
	tests := []struct {
		name    string
		files   []seedFile
		damage  func(t *testing.T, dir string)
		want    map[string]string // origin by program
		wantSay string
	}{
		{name: "all fit", files: []seedFile{good("a"), good("b")},
			want: map[string]string{"a": originSeed, "b": originSeed}, wantSay: "took 2 ready-made copies of 2"},
		{name: "wrong version", files: []seedFile{{name: "a", version: "v2", content: "x"}, good("b")},
			want: map[string]string{"a": originBuilt, "b": originSeed}, wantSay: "took 1 ready-made copies of 2"},
		{name: "what is said of a wrong version", files: []seedFile{{name: "a", version: "v2", content: "x"}, good("b")},
			want: map[string]string{"a": originBuilt, "b": originSeed}, wantSay: "a: the copy is v2, wanted is v1: not used\n"},
		{name: "wrong digest", files: []seedFile{{name: "a", version: "v1", content: "x", sum: sumA}, good("b")},
			want: map[string]string{"a": originBuilt, "b": originSeed}, wantSay: "taking a: SHA-256 is"},
		{name: "truncated archive", files: []seedFile{good("a"), long}, damage: cut,
			want: map[string]string{"a": originSeed, "b": originBuilt}, wantSay: "xz: "},
		{name: "listed but not inside", files: []seedFile{good("a")}, damage: func(t *testing.T, dir string) {
			appendLine(t, filepath.Join(dir, "VERSIONS"), "b v1 "+sumB)
		}, want: map[string]string{"a": originSeed, "b": originBuilt}, wantSay: "took 1 ready-made copies of 2"},
		{name: "unknown programs", files: []seedFile{good("z")},
			want: map[string]string{"a": originBuilt, "b": originBuilt}, wantSay: "took 0 ready-made copies"},
		{name: "bad VERSIONS", files: []seedFile{good("a")}, damage: func(t *testing.T, dir string) {
			appendLine(t, filepath.Join(dir, "VERSIONS"), "what")
		}, want: map[string]string{"a": originBuilt, "b": originBuilt}, wantSay: "line 2"},
		{name: "no archive", files: []seedFile{good("a")}, damage: func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, "testbin.tar.xz")))
		}, want: map[string]string{"a": originBuilt, "b": originBuilt}, wantSay: "testbin.tar.xz"},
		{name: "no seed", damage: func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) },
			want: map[string]string{"a": originBuilt, "b": originBuilt}, wantSay: "VERSIONS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := writeSeed(t, tt.files...)
			if tt.damage != nil {
				tt.damage(t, dir)
			}
			recipes := []recipe{fakeRecipe("a", fakeBuild{}), fakeRecipe("b", fakeBuild{})}
			s := newStore(t.TempDir(), recipes)
			var out strings.Builder
			must(t, newRun(s, Config{Seed: dir, Out: &out}).ensure(t.Context()))
			got := map[string]string{}
			for _, r := range recipes {
				rec, err := s.verify(r)
				must(t, err)
				got[r.name] = rec.Origin
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("origins (-want +got):\n%s", diff)
			}
			if !strings.Contains(out.String(), tt.wantSay) {
				t.Errorf("said %q, want %q in it", out.String(), tt.wantSay)
			}
			wantUnverified(t, s)
			wantNoTmp(t, s)
		})
	}
}

// TestSeedLeavesWhatIsThere seeds a cache in which one program is
// there: it must stay.
func TestSeedLeavesWhatIsThere(t *testing.T) {
	var count atomic.Int32
	a, b := fakeRecipe("a", fakeBuild{count: &count}), fakeRecipe("b", fakeBuild{count: &count})
	s := newStore(t.TempDir(), []recipe{a, b})
	must(t, newRun(s, Config{Names: []string{"a"}}).ensure(t.Context()))
	dir := writeSeed(t, seedFile{name: "a", version: "v1", content: "seed"}, seedFile{name: "b", version: "v1", content: "seed"})
	must(t, newRun(s, Config{Seed: dir}).ensure(t.Context()))
	wantContent(t, filepath.Join(s.setDir, "a"), "content of a")
	wantContent(t, filepath.Join(s.setDir, "b"), "seed")
	if n := count.Load(); n != 1 {
		t.Errorf("built %d times, want 1", n)
	}
}

// pseudoRandom returns n bytes that do not compress, always the same.
func pseudoRandom(n int) string {
	var out []byte
	sum := sha256.Sum256(nil)
	for len(out) < n {
		out = append(out, sum[:]...)
		sum = sha256.Sum256(sum[:])
	}
	return string(out[:n])
}

func appendLine(t *testing.T, path, line string) {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, append(data, line+"\n"...), 0o644))
}

// wantNoTmp checks that a run left nothing half-done behind.
func wantNoTmp(t *testing.T, s *store) {
	t.Helper()
	if _, err := os.Stat(s.tmpDir()); !os.IsNotExist(err) {
		t.Errorf("%s is still there (%v)", s.tmpDir(), err)
	}
}
