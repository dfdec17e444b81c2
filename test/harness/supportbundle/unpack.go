// Package supportbundle reads what kubectl tombolo gather writes.
package supportbundle

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"strings"
)

// Unpack returns the files of a bundle, by their path in the folder that all are in.
func Unpack(archive io.Reader) (map[string]string, error) {
	zip, err := gzip.NewReader(archive)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for r := tar.NewReader(zip); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		_, name, _ := strings.Cut(header.Name, "/")
		files[name] = string(text)
	}
}
