package testbin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// store is the cache of programs: one entry per recipe, and one folder in
// which all entries of the wanted set are linked under their plain names.
//
//	entries/<name>-<key>/<name>         the program
//	entries/<name>-<key>/record.json    its version, SHA-256 and origin
//	bin-<set key>/<name>                a hard link to it
//	bin-<set key>/verified.json         size and time of each when its SHA-256 was right
//
// Only who holds the lock writes to it.
type store struct {
	root    string
	setDir  string
	recipes []recipe
}

// record is what the store knows of one entry.
type record struct {
	Name    string    `json:"name"`
	Version string    `json:"version"` // what was built, see builder.build
	SHA256  string    `json:"sha256"`
	Size    int64     `json:"size"`   // bytes
	Origin  string    `json:"origin"` // originBuilt or originSeed
	Took    string    `json:"took,omitempty"`
	Added   time.Time `json:"added"`
}

// Where an entry comes from.
const (
	originBuilt = "built from source"
	originSeed  = "ready-made copy"
)

// stamp is how a verified file is recognised without reading it.
type stamp struct {
	Size    int64 `json:"size"`    // bytes
	ModTime int64 `json:"modTime"` // nanoseconds since 1970
}

// errNoEntry says that the cache holds nothing for a recipe.
var errNoEntry = errors.New("not in the cache")

func newStore(cache string, recipes []recipe) *store {
	root := filepath.Join(cache, "testbin")
	return &store{root: root, recipes: recipes, setDir: filepath.Join(root, "bin-"+setKey(recipes))}
}

func (s *store) entryDir(r recipe) string {
	return filepath.Join(s.root, "entries", r.name+"-"+r.key())
}

func (s *store) tmpDir() string { return filepath.Join(s.root, "tmp") }

// unverified names the programs whose file in the set's folder is not the one
// that was verified, in the order of the recipes.
func (s *store) unverified() ([]string, error) {
	stamps, err := s.readStamps()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range s.recipes {
		have, err := stampOf(filepath.Join(s.setDir, r.name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if want, ok := stamps[r.name]; err != nil || !ok || have != want {
			names = append(names, r.name)
		}
	}
	return names, nil
}

// verify reads the whole entry of r and returns its record. The error wraps
// errNoEntry if there is no entry; otherwise it says what is wrong with the entry.
func (s *store) verify(r recipe) (record, error) {
	rec, err := s.readRecord(r)
	if err != nil {
		return record{}, err
	}
	sum, size, err := hashFile(filepath.Join(s.entryDir(r), r.name))
	if err != nil {
		return record{}, fmt.Errorf("reading the entry of %s: %w", r.name, err)
	}
	if size != rec.Size {
		return record{}, fmt.Errorf("the entry of %s has %d bytes, not %d", r.name, size, rec.Size)
	}
	if sum != rec.SHA256 {
		return record{}, fmt.Errorf("the entry of %s has SHA-256 %s, not %s", r.name, sum, rec.SHA256)
	}
	return rec, nil
}

func (s *store) readRecord(r recipe) (record, error) {
	data, err := os.ReadFile(filepath.Join(s.entryDir(r), "record.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, fmt.Errorf("%s %s: %w", r.name, r.version, errNoEntry)
	}
	if err != nil {
		return record{}, err
	}
	var rec record
	if err := json.Unmarshal(data, &rec); err != nil {
		return record{}, fmt.Errorf("the record of %s is damaged: %w", r.name, err)
	}
	return rec, nil
}

// put makes the file at path, which must be below tmpDir, the entry of r. It
// replaces what is there. The entry comes into being by a rename, so it is
// whole or not there.
func (s *store) put(r recipe, path string, rec record) error {
	sum, size, err := hashFile(path)
	if err != nil {
		return err
	}
	rec.Name, rec.SHA256, rec.Size = r.name, sum, size
	staged, err := os.MkdirTemp(s.tmpDir(), "entry-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(staged) // nothing is left of it after the rename
	if err := os.Rename(path, filepath.Join(staged, r.name)); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(staged, "record.json"), rec); err != nil {
		return err
	}
	if err := errors.Join(os.Chmod(filepath.Join(staged, r.name), 0o755), os.Chmod(staged, 0o755)); err != nil {
		return err
	}
	return replaceDir(staged, s.entryDir(r))
}

// replaceDir renames from to to, removing what was at to.
func replaceDir(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// publish links r's verified entry into the set's folder and notes its stamp.
func (s *store) publish(r recipe) error {
	if err := os.MkdirAll(s.setDir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(s.setDir, r.name)
	if err := linkOver(filepath.Join(s.entryDir(r), r.name), path); err != nil {
		return err
	}
	now, err := stampOf(path)
	if err != nil {
		return err
	}
	stamps, err := s.readStamps()
	if err != nil {
		return err
	}
	if stamps[r.name] == now {
		return nil
	}
	stamps[r.name] = now
	return s.writeStamps(stamps)
}

// withdraw makes unverified report r, before its entry is replaced.
func (s *store) withdraw(r recipe) error {
	stamps, err := s.readStamps()
	if err != nil {
		return err
	}
	if _, ok := stamps[r.name]; !ok {
		return nil
	}
	delete(stamps, r.name)
	return s.writeStamps(stamps)
}

// readStamps returns an empty map if the file is missing or damaged.
func (s *store) readStamps() (map[string]stamp, error) {
	stamps := map[string]stamp{}
	data, err := os.ReadFile(filepath.Join(s.setDir, "verified.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return stamps, nil
	}
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(data, &stamps) != nil {
		return map[string]stamp{}, nil //nolint:nilerr // a damaged file means that every program is verified again
	}
	return stamps, nil
}

func (s *store) writeStamps(stamps map[string]stamp) error {
	tmp := filepath.Join(s.tmpDir(), "verified.json")
	if err := writeJSON(tmp, stamps); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(s.setDir, "verified.json"))
}

// linkOver makes path a hard link to target, in one step for whoever reads.
func linkOver(target, path string) error {
	want, err := os.Stat(target)
	if err != nil {
		return err
	}
	// Renaming one link of a file over another does nothing, not even remove the first.
	if have, err := os.Lstat(path); err == nil && os.SameFile(want, have) {
		return nil
	}
	next := path + ".next"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(target, next); err != nil {
		return err
	}
	return os.Rename(next, path)
}

func stampOf(path string) (stamp, error) {
	fi, err := os.Lstat(path)
	if err != nil {
		return stamp{}, err
	}
	return stamp{Size: fi.Size(), ModTime: fi.ModTime().UnixNano()}, nil
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// hashFile returns a file's SHA-256 in hex and its size in bytes.
func hashFile(path string) (string, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return "", 0, fmt.Errorf("reading %s: %w", path, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), size, nil
}
