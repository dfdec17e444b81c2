// Package addons holds what every cluster of a lab runs as pods, as an ordinary cluster does:
// CoreDNS. It owns the manifests and their application. It does not own images, and waits for
// nothing.
package addons
