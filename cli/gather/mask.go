package gather

import (
	"bytes"
	"regexp"
	"slices"
)

// masked stands where a secret stood.
const masked = "[masked]"

// rule is the shape of what opens something.
type rule struct {
	// hints are words in lower case, one of which every match holds: to look for them is much faster.
	hints []string
	shape *regexp.Regexp
	with  string
}

// called matches the end of the name of a secret: of flags, environments, fields of JSON and YAML.
const called = `(?:passwo?r?d|passphrase|secret|token|credentials?|private[-_]?key|preshared[-_]?key|api[-_]?key|access[-_]?key(?:[-_]id)?)`

var hintsOfCalled = []string{"pass", "pwd", "secret", "token", "credential", "key"}

// inText are the rules for what may take several lines. What a group named keep holds stays.
var inText = []rule{
	// Private keys in PEM (RFC 7468); inside JSON and quoted YAML the ends of lines are escaped.
	{[]string{"private key-----"}, regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z0-9 ]*PRIVATE KEY-----`), masked},
	// PEM in base64: a certificate cannot be told from a key at its beginning.
	{[]string{"ls0tls1crudjti"}, regexp.MustCompile(`LS0tLS1CRUdJTi[A-Za-z0-9+/\s]{24,}=*`), masked},
	// The environment of a container.
	{[]string{"value:"}, regexp.MustCompile(`(?i)(?P<keep>name: ["']?[\w-]*` + called + `["']?\n\s*value: ["']?)[^\s"']+`), "${keep}" + masked},
}

// inLine are the rules for what takes one line.
var inLine = []rule{
	// A JSON web token (RFC 7519), as every token of a ServiceAccount is, and the same in base64.
	{[]string{"eyj"}, regexp.MustCompile(`eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*`), masked},
	{[]string{"zxlk"}, regexp.MustCompile(`ZXlK[A-Za-z0-9+/_-]{24,}=*`), masked},
	// What kubectl tombolo member add prints.
	{[]string{"tombolo-join."}, regexp.MustCompile(`tombolo-join\.[\w-]+`), masked},
	// RFC 7617 and RFC 6750.
	{[]string{"bearer", "basic"}, regexp.MustCompile(`(?i)\b(?P<keep>(?:bearer|basic)\s+)[\w.~+/-]{8,}=*`), "${keep}" + masked},
	// Passwords in URLs, such as that of a proxy.
	{[]string{"://"}, regexp.MustCompile(`(?P<keep>://)[^\s/@"']+@`), "${keep}" + masked + "@"},
	{hintsOfCalled, regexp.MustCompile(`(?i)(?P<keep>` + called + `["']?\s*[=:]\s*["']?)[\w.~+/-]{16,}=*`), "${keep}" + masked},
	{[]string{"pass", "pwd"}, regexp.MustCompile(`(?i)(?P<keep>(?:passwo?r?d|passphrase)["']?\s*[=:]\s*["']?)[^\s"',}]+`), "${keep}" + masked},
	// Plugins of CoreDNS take credentials as words on a line.
	{hintsOfCalled, regexp.MustCompile(`(?i)(?P<keep>^\s*(?:aws_access_key|(?:\w+[_-])?secret|credentials)[ \t]+)[^\n]+`), "${keep}" + masked},
}

// Keys of 32 bytes in base64, as WireGuard writes them, and the same once more in base64.
var (
	wireGuardKey  = regexp.MustCompile(`[A-Za-z0-9+/]{43}=`)
	wireGuardKey2 = regexp.MustCompile(`[A-Za-z0-9+/]{59}=`)
)

// masker hides secrets in text. It knows the public keys, since a private key looks like one.
type masker struct{ public map[string]bool }

// mask returns the text without what may be a secret. A harmless word may be masked with it.
func (m masker) mask(text []byte) []byte {
	text = apply(inText, text)
	var all bytes.Buffer
	all.Grow(len(text))
	for line := range bytes.Lines(text) {
		all.Write(m.keys(apply(inLine, line)))
	}
	return all.Bytes()
}

func apply(rules []rule, text []byte) []byte {
	lower := bytes.ToLower(text)
	for _, r := range rules {
		if slices.ContainsFunc(r.hints, func(hint string) bool { return bytes.Contains(lower, []byte(hint)) }) {
			text = r.shape.ReplaceAll(text, []byte(r.with))
		}
	}
	return text
}

func (m masker) keys(line []byte) []byte {
	if !bytes.Contains(line, []byte("=")) {
		return line
	}
	line = wireGuardKey2.ReplaceAll(line, []byte(masked))
	return wireGuardKey.ReplaceAllFunc(line, func(key []byte) []byte {
		if m.public[string(key)] {
			return key
		}
		return []byte(masked)
	})
}
