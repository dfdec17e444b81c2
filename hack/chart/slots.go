package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// slots remembers what takes the place of the marks that were put into an object: template text,
// which YAML could not hold. A mark sorts behind every key, so it never is the first one of a list's
// item.
type slots struct {
	texts []string
}

const mark = "zz-template-"

var (
	ownLine  = regexp.MustCompile(`(?m)^( *)(?:- )?` + mark + `(\d+)(?:: "")?$`)
	valueEnd = regexp.MustCompile(mark + `(\d+)\b`)
)

// add returns the mark for a text: as a value it stands for a part of a line. As a key with an empty
// value, or as an item of a list, it stands for the whole line, and each line of the text is indented
// as the mark was.
func (s *slots) add(text string) string {
	s.texts = append(s.texts, text)
	return mark + strconv.Itoa(len(s.texts)-1)
}

// marshal is the object in YAML with the texts in place. Braces that would mean something to Helm
// are escaped.
func (s *slots) marshal(object any) (string, error) {
	raw, err := yaml.Marshal(object)
	if err != nil {
		return "", err
	}
	text := strings.ReplaceAll(string(raw), "{{", `{{ "{{" }}`)
	text = ownLine.ReplaceAllStringFunc(text, func(line string) string {
		found := ownLine.FindStringSubmatch(line)
		return found[1] + strings.ReplaceAll(s.text(found[2]), "\n", "\n"+found[1])
	})
	return valueEnd.ReplaceAllStringFunc(text, func(m string) string {
		return s.text(strings.TrimPrefix(m, mark))
	}), nil
}

func (s *slots) text(number string) string {
	n, err := strconv.Atoi(number)
	if err != nil || n >= len(s.texts) {
		panic(fmt.Sprintf("the manifests hold the text %s%s, which this program uses itself", mark, number))
	}
	return s.texts[n]
}
