package v1alpha1

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// allowed are the functions that a package of types may have: deep copies, text, conversion,
// defaulting, registration.
var allowed = regexp.MustCompile(`^(DeepCopy\w*|String|(Unm|M)arshalJSON|metadataOf|Convert\w+|(Set)?Default\w*|addKnownTypes)$`)

// TestTypesWithoutBehaviour: the kinds are types. A rule about them belongs to internal/clusterset.
func TestTypesWithoutBehaviour(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	functions := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			functions++
			if !allowed.MatchString(f.Name.Name) {
				t.Errorf("function %s decides something: move it to internal/clusterset", f.Name.Name)
			}
		}
	}
	if functions == 0 {
		t.Error("found no function at all, not even DeepCopy")
	}
}
