package report

import (
	"encoding/json"
	"fmt"
	"io"

	"sigs.k8s.io/yaml"
)

// CheckFormat refuses what Object would not write; empty stands for text.
func CheckFormat(format string) error {
	if format != "" && format != "json" && format != "yaml" {
		return fmt.Errorf("--output %q: it may be json or yaml", format)
	}
	return nil
}

// Object writes the object for programs, if the format is json or yaml, and tells whether it is. A
// YAML document begins with its mark: a command that watches writes many.
func Object(out io.Writer, format string, object any) (written bool, err error) {
	switch format {
	case "json":
		text, err := json.MarshalIndent(object, "", "  ")
		if err == nil {
			_, err = fmt.Fprintln(out, string(text))
		}
		return true, err
	case "yaml":
		text, err := yaml.Marshal(object)
		if err == nil {
			_, err = fmt.Fprintf(out, "---\n%s", text)
		}
		return true, err
	}
	return false, nil
}
