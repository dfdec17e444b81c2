package docs

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/tombolo-net/tombolo/cli"
)

// command is a command line in a page.
type command struct {
	text   string
	inText bool // in a sentence, where a command may stand for itself, without its arguments
}

var continued = regexp.MustCompile(`\\\n\s*`)

// commands are the command lines of the page that begin with that word, in blocks and in sentences.
func (p page) commands(first string) []command {
	var all []command
	for _, b := range p.blocks {
		if b.language != "" && b.language != "sh" {
			continue
		}
		for line := range strings.Lines(continued.ReplaceAllString(b.text, " ")) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, first) {
				all = append(all, command{text: line})
			}
		}
	}
	for _, s := range span.FindAllString(p.text, -1) {
		if s = strings.Trim(strings.Join(strings.Fields(s), " "), "`"); strings.HasPrefix(s, first) {
			all = append(all, command{text: s, inText: true})
		}
	}
	return all
}

// words splits a command line as a shell does, up to what ends the command. It expands nothing.
func words(line string) []string {
	var all []string
	var word strings.Builder
	quote, inWord := rune(0), false
	end := func() {
		if inWord {
			all = append(all, word.String())
		}
		word.Reset()
		inWord = false
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case strings.ContainsRune("|;&<>)", r), r == '#' && !inWord:
			end()
			return all
		case r == ' ':
			end()
		case r != '\\': // before a | in a table
			inWord = true
			word.WriteRune(r)
		}
	}
	end()
	return all
}

func TestWords(t *testing.T) {
	for line, want := range map[string]string{
		`status --contexts a,b -o json | jq .x`: "status|--contexts|a,b|-o|json",
		`join tombolo-join.eyJ... # a token`:    "join|tombolo-join.eyJ...",
		`x -p '{"a": [1]}' "$NAME" <<END`:       `x|-p|{"a": [1]}|$NAME`,
		`status -o json \| jq`:                  "status|-o|json",
		`a "" b; c`:                             "a||b",
	} {
		if got := strings.Join(words(line), "|"); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

const plugin = "kubectl tombolo"

// TestPluginCommands: each command line of kubectl tombolo is one that it takes: command, flags and
// number of arguments.
func TestPluginCommands(t *testing.T) {
	found := 0
	for _, p := range pages(t) {
		commands := p.commands(plugin)
		if p.path == "docs/plugin.md" { // its tables leave the first words out
			for _, s := range span.FindAllString(p.text, -1) {
				if s = strings.Trim(s, "`"); isCommand(strings.Fields(s)) {
					commands = append(commands, command{text: plugin + " " + s, inText: true})
				}
			}
		}
		for _, c := range commands {
			found++
			if err := parse(words(strings.TrimPrefix(c.text, plugin)), c.inText); err != nil {
				t.Errorf("%s: %s: %v", p.path, c.text, err)
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d command lines: the test looks at the wrong ones", found)
	}
}

// isCommand says whether the words begin with the name of a command, and more words follow.
func isCommand(words []string) bool {
	if len(words) < 2 {
		return false
	}
	c, _, err := cli.NewCommand("dev", genericiooptions.IOStreams{}).Find(words)
	return err == nil && c.HasParent()
}

// parse parses the arguments and runs nothing.
func parse(args []string, inText bool) error {
	var given []string
	for _, arg := range args {
		if arg != "…" {
			given = append(given, arg)
		}
	}
	root := cli.NewCommand("dev", genericiooptions.IOStreams{Out: &bytes.Buffer{}, ErrOut: &bytes.Buffer{}})
	root.InitDefaultHelpFlag()
	root.InitDefaultCompletionCmd()
	c, rest, err := root.Find(given)
	if err != nil {
		return err
	}
	c.InitDefaultHelpFlag()
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	left := c.Flags().Args()
	if !c.Runnable() && len(left) > 0 {
		return fmt.Errorf("%s has no command %s", c.CommandPath(), left[0])
	}
	if help, _ := c.Flags().GetBool("help"); help || len(left) == 0 && (inText || !c.HasParent()) {
		return nil
	}
	return c.ValidateArgs(left)
}
