// Package docs tests that the pages are true where a machine can tell: links and their anchors, command
// lines of kubectl tombolo, targets of make, objects of tombolo's kinds, and the index. test/policy runs
// the commands of docs/install.md, test/kind/quickstart those of docs/quickstart.md.
package docs
