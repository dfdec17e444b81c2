package corefile

import (
	"fmt"
	"strings"
)

// Corefile is a parsed Corefile.
type Corefile struct {
	source  string
	blocks  []*block // server blocks and snippets
	imports []word   // of whole server blocks: what follows `import`
}

// block is a server block, or a snippet, which has one key in parentheses.
type block struct {
	keys       []word
	directives []*directive // imports among them
}

// directive is a plugin's name and arguments, and what is between its braces.
type directive struct {
	words       []word // name and arguments
	open, close *word  // nil: no braces
	properties  []property
}

// property is a line between a plugin's braces: name and arguments.
type property []word

func (d *directive) name() string { return d.words[0].text }

// last is the last property whose first words are these, because that is the one that CoreDNS uses;
// nil if there is none.
func (d *directive) last(names ...string) property {
	for i := len(d.properties) - 1; i >= 0; i-- {
		p := d.properties[i]
		if len(p) < len(names) {
			continue
		}
		same := true
		for j, name := range names {
			same = same && p[j].text == name
		}
		if same {
			return p
		}
	}
	return nil
}

// Parse parses a Corefile. The error is a *Refusal: CoreDNS would not read the Corefile, or not as
// we do.
func Parse(source string) (*Corefile, error) {
	words, err := split(source)
	if err != nil {
		return nil, err
	}
	c := &Corefile{source: source}
	p := parser{words: words}
	for p.more() {
		first := p.at
		b, err := p.block()
		if err != nil {
			return nil, err
		}
		if b != nil {
			c.blocks = append(c.blocks, b)
		} else {
			c.imports = append(c.imports, words[first+1:p.at]...)
		}
	}
	return c, nil
}

// Reloads tells whether CoreDNS checks by itself whether the Corefile has changed, as far as this
// file says.
func (c *Corefile) Reloads() bool {
	for _, b := range c.blocks {
		for _, d := range b.directives {
			if d.name() == "reload" {
				return true
			}
		}
	}
	return false
}

// snippet is the name of the snippet that the block is, "" if it is a server block.
func (b *block) snippet() string {
	if len(b.keys) != 1 {
		return ""
	}
	name, found := strings.CutPrefix(b.keys[0].text, "(")
	name, closed := strings.CutSuffix(name, ")")
	if !found || !closed {
		return ""
	}
	return name
}

// directives are the block's. A snippet that it imports is replaced by the snippet's directives.
func (c *Corefile) directives(b *block) []*directive { return c.expand(b, map[string]bool{}) }

func (c *Corefile) expand(b *block, seen map[string]bool) []*directive {
	var all []*directive
	for _, d := range b.directives {
		all = append(all, d)
		if d.name() != "import" || len(d.words) != 2 || seen[d.words[1].text] {
			continue
		}
		seen[d.words[1].text] = true
		for _, other := range c.blocks {
			if name := other.snippet(); name != "" && name == d.words[1].text {
				all = append(all, c.expand(other, seen)...)
			}
		}
	}
	return all
}

// parser reads the words one by one.
type parser struct {
	words []word
	at    int
}

func (p *parser) more() bool { return p.at < len(p.words) }

func (p *parser) is(text string) bool { return p.more() && p.words[p.at].text == text }

// newLine tells whether the word is the first of its line.
func (p *parser) newLine() bool {
	return p.at == 0 || p.words[p.at-1].lastLine() < p.words[p.at].line
}

func (p *parser) refuse(problem, remedy string) error {
	line := 0
	switch {
	case p.more():
		line = p.words[p.at].line
	case len(p.words) > 0:
		line = p.words[len(p.words)-1].line
	}
	return &Refusal{line, problem, remedy}
}

// block reads a server block or a snippet; nil if it was an import of whole server blocks.
func (p *parser) block() (*block, error) {
	if p.is("import") {
		for first := true; p.more() && (first || !p.newLine()); first = false {
			p.at++
		}
		return nil, nil
	}
	b := &block{}
	if err := p.keys(b); err != nil {
		return nil, err
	}
	braces := p.is("{")
	if braces {
		p.at++
	}
	for p.more() && !p.is("}") {
		d, err := p.directive()
		if err != nil {
			return nil, err
		}
		b.directives = append(b.directives, d)
	}
	switch closed := p.is("}"); {
	case braces && !closed:
		return nil, p.refuse(fmt.Sprintf("the server block of line %d is not closed", b.keys[0].line), "add the closing }")
	case !braces && closed:
		return nil, p.refuse("a } without its {", "remove it, or add the {")
	case braces:
		p.at++
	}
	return b, nil
}

// keys reads the zones of a server block. They are all on one line, except those after a comma.
func (p *parser) keys(b *block) error {
	comma := false
	for p.more() && !p.is("{") && (len(b.keys) == 0 || comma || !p.newLine()) {
		if p.is("}") || p.is("import") || p.words[p.at].text == "" {
			return p.refuse(fmt.Sprintf("%q where a zone is expected", p.words[p.at].text), "begin each server block with its zones, such as `.:53 {`")
		}
		b.keys = append(b.keys, p.words[p.at])
		comma = strings.HasSuffix(p.words[p.at].text, ",")
		p.at++
	}
	if len(b.keys) == 0 || comma {
		return p.refuse("a zone is missing", "begin each server block with its zones, such as `.:53 {`")
	}
	return nil
}

// directive reads one plugin.
func (p *parser) directive() (*directive, error) {
	d := &directive{}
	for p.more() && (len(d.words) == 0 || !p.newLine()) {
		switch {
		case p.is("}"):
			return nil, p.refuse("a } that closes no plugin's {", "put the } that ends a server block on a line of its own")
		case p.is("{") && len(d.words) == 0:
			return nil, p.refuse("a { without a plugin before it", "put it on the plugin's line")
		case p.is("{"):
			if err := p.braces(d); err != nil {
				return nil, err
			}
			if p.more() && !p.newLine() {
				return nil, p.refuse("more words after a plugin's }", "begin a new line after it")
			}
			return d, nil
		}
		d.words = append(d.words, p.words[p.at])
		p.at++
	}
	if p.is("{") {
		return nil, p.refuse("a { on a line of its own", "put it on the plugin's line")
	}
	return d, nil
}

// braces reads what is between a plugin's braces. Braces inside them belong to the property before
// them.
func (p *parser) braces(d *directive) error {
	d.open = &p.words[p.at]
	depth := 1
	for p.at++; p.more(); p.at++ {
		switch {
		case p.is("{"):
			depth++
		case p.is("}"):
			depth--
		}
		switch {
		case depth == 0:
			d.close = &p.words[p.at]
			p.at++
			return nil
		case depth > 1 || p.is("}"):
		case p.newLine() || len(d.properties) == 0:
			d.properties = append(d.properties, property{p.words[p.at]})
		default:
			i := len(d.properties) - 1
			d.properties[i] = append(d.properties[i], p.words[p.at])
		}
	}
	return p.refuse(fmt.Sprintf("the { of line %d is not closed", d.open.line), "add the closing }")
}
