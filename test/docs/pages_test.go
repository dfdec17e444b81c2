package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// top is the root of the repository.
const top = "../.."

// page is a page of Markdown.
type page struct {
	path   string // from the root, such as docs/install.md
	text   string // without blocks of code
	blocks []block
}

// block is a block of code.
type block struct {
	line     int
	language string
	text     string
}

// pages are all that a reader may come to.
func pages(t *testing.T) []page {
	t.Helper()
	var all []page
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			all = append(all, read(t, strings.TrimPrefix(file, top+"/")))
		}
	}
	if len(all) < 20 {
		t.Fatalf("%d pages", len(all))
	}
	return all
}

func read(t *testing.T, path string) page {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(top, path))
	if err != nil {
		t.Fatal(err)
	}
	p := page{path: path}
	var text strings.Builder
	var open *block
	for i, line := range strings.Split(string(content), "\n") {
		language, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && open == nil:
			open = &block{line: i + 1, language: language}
		case fence:
			p.blocks, open = append(p.blocks, *open), nil
		case open != nil:
			open.text += line + "\n"
		default:
			text.WriteString(line + "\n")
		}
	}
	if open != nil {
		t.Errorf("%s:%d: a block without end", path, open.line)
	}
	p.text = text.String()
	return p
}

var (
	heading    = regexp.MustCompile(`(?m)^#+ (.*)$`)
	headerLink = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	notAnchor  = regexp.MustCompile(`[^\p{L}\p{N}\p{M}_ -]`)
)

// anchors are those that GitHub gives to the headings.
func (p page) anchors() map[string]bool {
	all := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(p.text, -1) {
		text := headerLink.ReplaceAllString(h[1], "$1")
		anchor := strings.ReplaceAll(notAnchor.ReplaceAllString(strings.ToLower(text), ""), " ", "-")
		for n := 1; all[anchor]; n++ {
			anchor = fmt.Sprintf("%s-%d", strings.TrimSuffix(anchor, fmt.Sprintf("-%d", n-1)), n)
		}
		all[anchor] = true
	}
	return all
}

var (
	span = regexp.MustCompile("`[^`]*`")
	link = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	// own is where the pages are on the web.
	own = "https://github.com/tombolo-net/tombolo/blob/main/"
)

// TestLinks: each link leads to a file that is there, and to a heading in it.
func TestLinks(t *testing.T) {
	known := map[string]map[string]bool{}
	for _, p := range pages(t) {
		known[p.path] = p.anchors()
	}
	for _, p := range pages(t) {
		for _, l := range link.FindAllStringSubmatch(span.ReplaceAllString(p.text, ""), -1) {
			check(t, p.path, l[1], known)
		}
	}
}

// check checks one link of the page.
func check(t *testing.T, from, target string, known map[string]map[string]bool) {
	t.Helper()
	path, fragment, _ := strings.Cut(target, "#")
	switch rest, ours := strings.CutPrefix(path, own); {
	case ours:
		path = rest
	case strings.Contains(path, ":"):
		return
	case path == "":
		path = from
	default:
		path = filepath.Join(filepath.Dir(from), path)
	}
	if _, err := os.Stat(filepath.Join(top, path)); err != nil {
		t.Errorf("%s: the link %s leads nowhere", from, target)
		return
	}
	if fragment != "" && !known[path][fragment] {
		t.Errorf("%s: the link %s: %s has no such heading", from, target, path)
	}
}

// mention is a page's path that is no part of another project's.
var mention = regexp.MustCompile(`(?:^|[^/\w.-]|\.\./|tombolo/blob/main/)(docs/\w+\.md(?:#[a-z0-9-]+)?)`)

// TestMentions: pages that programs, manifests and workflows name are there.
func TestMentions(t *testing.T) {
	known, found := map[string]map[string]bool{}, 0
	for _, p := range pages(t) {
		known[p.path] = p.anchors()
	}
	if err := filepath.WalkDir(top, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if name == "dist" || name == "bin" || strings.HasPrefix(name, ".") && len(name) > 2 && name != ".github" && name != ".ci" {
				return filepath.SkipDir
			}
			return nil
		}
		switch filepath.Ext(name) {
		case ".go", ".yaml", ".yml", ".sh", ".tmpl", ".json":
		default:
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range mention.FindAllStringSubmatch(string(content), -1) {
			found++
			page, fragment, _ := strings.Cut(m[1], "#")
			if known[page] == nil || fragment != "" && !known[page][fragment] {
				t.Errorf("%s names %s, which is not there", strings.TrimPrefix(path, top+"/"), m[1])
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if found == 0 {
		t.Error("nothing names a page: the test looks at the wrong files")
	}
}

// TestIndex: the index leads to every page.
func TestIndex(t *testing.T) {
	index := read(t, "docs/README.md").text
	for _, p := range pages(t) {
		name, inDocs := strings.CutPrefix(p.path, "docs/")
		if inDocs && name != "README.md" && !strings.Contains(index, "]("+name) {
			t.Errorf("docs/README.md does not lead to %s", name)
		}
	}
}

// TestMakeTargets: what pages make is in the Makefile.
func TestMakeTargets(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(top, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, rule := range regexp.MustCompile(`(?m)^([a-zA-Z][\w/ -]*):`).FindAllStringSubmatch(string(makefile), -1) {
		for _, target := range strings.Fields(rule[1]) {
			targets[target] = true
		}
	}
	for _, p := range pages(t) {
		for _, c := range p.commands("make ") {
			for _, word := range words(strings.TrimPrefix(c.text, "make ")) {
				if strings.HasPrefix(word, "-") || strings.Contains(word, "=") {
					continue
				}
				if !targets[word] {
					t.Errorf("%s: %s: make has no target %s", p.path, c.text, word)
				}
			}
		}
	}
}
