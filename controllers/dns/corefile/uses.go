package corefile

import "strings"

// Multicluster returns the lines with an option `multicluster` of this cluster's kubernetes plugins,
// whoever wrote them. While there are any, CoreDNS must be able to read ServiceImports: without them
// it does not become ready.
func (c *Corefile) Multicluster() []int {
	var lines []int
	for _, b := range c.blocks {
		for _, d := range b.directives {
			if d.name() != "kubernetes" || d.last("endpoint") != nil || d.last("kubeconfig") != nil {
				continue
			}
			for _, p := range d.properties {
				if p[0].text == "multicluster" {
					lines = append(lines, p[0].line)
				}
			}
		}
	}
	return lines
}

// Imports returns the files that the Corefile imports, which this package does not read.
func (c *Corefile) Imports() []string {
	snippets := map[string]bool{}
	for _, b := range c.blocks {
		snippets[b.snippet()] = true
	}
	var files []string
	for _, w := range c.imports {
		files = append(files, w.text)
	}
	for _, b := range c.blocks {
		for _, d := range b.directives {
			if d.name() == "import" && len(d.words) > 1 && !snippets[d.words[1].text] {
				files = append(files, strings.TrimSpace(d.words[1].text))
			}
		}
	}
	return files
}
