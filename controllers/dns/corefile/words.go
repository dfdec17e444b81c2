package corefile

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/coredns/caddy/caddyfile"
)

// word is one of CoreDNS's tokens and where it is.
type word struct {
	text       string // without quotes
	line       int    // of its start, counted from 1
	start, end int    // in bytes, quotes included
}

// lastLine is the line on which the word ends: a quoted word may hold line breaks.
func (w word) lastLine() int { return w.line + strings.Count(w.text, "\n") }

// split returns the words as CoreDNS's lexer separates them, and finds each in the source.
func split(source string) ([]word, error) {
	if !utf8.ValidString(source) {
		return nil, &Refusal{Problem: "the Corefile is not UTF-8", Remedy: "save it as UTF-8"}
	}
	s := scanner{source: source, line: 1}
	if strings.HasPrefix(source, "\uFEFF") {
		s.pos = len("\uFEFF")
	}
	tokens := caddyfile.NewDispenser("Corefile", strings.NewReader(source))
	var words []word
	for tokens.Next() {
		w, ok := s.next(tokens.Val())
		if !ok || w.line != tokens.Line() {
			return nil, &Refusal{tokens.Line(), "CoreDNS and tombolo may read the quotes or comments here differently",
				"close every quotation, and put a space before # and after a quotation"}
		}
		words = append(words, w)
	}
	return words, nil
}

// scanner moves through a source beside the lexer.
type scanner struct {
	source string
	pos    int // in bytes
	line   int // of pos
}

// next is the word at the next place that is neither blank nor comment. It is not ok if the word
// there is not that text.
func (s *scanner) next(text string) (word, bool) {
	s.skip()
	w := word{text: text, line: s.line, start: s.pos}
	switch {
	case strings.HasPrefix(s.source[s.pos:], `"`):
		if !s.quotation(text) {
			return w, false
		}
	case text != "" && strings.HasPrefix(s.source[s.pos:], text):
		s.pos += len(text)
	default:
		return w, false
	}
	w.end = s.pos
	s.line += strings.Count(s.source[w.start:w.end], "\n")
	return w, boundary(s.source[s.pos:])
}

// boundary tells whether a word may end before rest.
func boundary(rest string) bool {
	r, _ := utf8.DecodeRuneInString(rest)
	return rest == "" || r == '#' || unicode.IsSpace(r)
}

// skip moves past blanks and comments.
func (s *scanner) skip() {
	comment := false
	for i, r := range s.source[s.pos:] {
		switch {
		case r == '\n':
			comment = false
			s.line++
		case comment || unicode.IsSpace(r):
		case r == '#':
			comment = true
		default:
			s.pos += i
			return
		}
	}
	s.pos = len(s.source)
}

// quotation moves past a quoted word and tells whether the quotation is closed and holds that text.
// Only quotes are escaped.
func (s *scanner) quotation(text string) bool {
	var inside strings.Builder
	escaped := false
	for i, r := range s.source[s.pos+1:] {
		switch {
		case escaped && r != '"':
			inside.WriteRune('\\')
			inside.WriteRune(r)
			escaped = false
		case escaped:
			inside.WriteRune(r)
			escaped = false
		case r == '\\':
			escaped = true
		case r == '"':
			s.pos += 1 + i + 1
			return inside.String() == text
		default:
			inside.WriteRune(r)
		}
	}
	return false
}
