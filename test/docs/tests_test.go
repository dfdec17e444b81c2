package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	namedTest    = regexp.MustCompile("`(Test[A-Za-z0-9]+)(?:/[A-Za-z0-9/]+)?`")
	declaredTest = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
)

// TestNamedTests: the tests are there that a page names as its proof.
func TestNamedTests(t *testing.T) {
	declared := map[string]bool{}
	if err := filepath.WalkDir(top, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		for _, d := range declaredTest.FindAllStringSubmatch(string(content), -1) {
			declared[d[1]] = true
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, p := range pages(t) {
		for _, named := range namedTest.FindAllStringSubmatch(p.text, -1) {
			found++
			if !declared[named[1]] {
				t.Errorf("%s names the test %s, which is not there", p.path, named[1])
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d tests are named: the test looks at the wrong words", found)
	}
}
