// Package netns makes network namespaces and the wires between them for tests on a real kernel. It owns what it
// makes, and removes it when the test ends; tests get nothing else from it.
package netns
