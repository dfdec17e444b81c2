// Package image makes the container images of the lab without Docker and without root, as archives
// that `ctr -n k8s.io images import` takes: from Debian packages, from programs of this repository,
// and tombolo's own, which the Dockerfile at the repository's root takes from here, too.
//
// It owns the recipes and a cache of packages and archives. It does not import anything into
// containerd and runs none of the packages' scripts.
package image
