// Package netns makes small networks out of network namespaces, for tests that send real traffic
// through a real kernel. It owns the namespaces and the links that it makes, and removes them when
// the test ends. It owns nothing else.
package netns
