package web

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
)

//go:embed page
var embedded embed.FS

// contentTypes are said here, since some systems know others for these names, and a browser is told not
// to guess.
var contentTypes = map[string]string{".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}

// files serves what the browser loads. Nothing in it is secret.
func files() http.Handler {
	folder, err := fs.Sub(embedded, "page")
	if err != nil {
		panic(err) // the folder is embedded
	}
	served := http.FileServerFS(folder)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Path
		if name == "/" {
			name = "/index.html"
		}
		contentType, ok := contentTypes[path.Ext(name)]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", contentType)
		served.ServeHTTP(w, r)
	})
}
