//go:build kind

package quickstart

// standIns are all that is not as the page says: shell functions that stand in for two commands, which
// need images that a machine without a network cannot pull. Any other use of these programs is the
// program's. The image agnhost, which nodes pull, comes with the second one (test/lab/image/agnhost).
//
//   - make docker-build: the first stage of the Dockerfile builds on an image that Docker pulls. Its
//     commands run on this machine, and the rest of the Dockerfile in Docker.
//   - kind create cluster pulls the image of the nodes; see hack/kind. Where it can, it is kind's own.
const standIns = `
make() {
	if [[ $* == "docker-build IMG=tombolo:try" ]]; then
		local dir=$(mktemp -d) arch=$(go env GOARCH)
		CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$dir/binaries/$arch/tombolo" ./cmd/tombolo
		go run ./hack/image -binaries "$dir/binaries" -arch "$arch" -rootfs "$dir/rootfs"
		sed -n '/^FROM scratch/,$ { s/--from=build //; p }' Dockerfile >"$dir/Dockerfile"
		docker build --tag tombolo:try "$dir"
		rm -r "$dir"
	else
		command make "$@"
	fi
}
kind() {
	if [[ ${QUICKSTART_CREATE-} && $# == 6 && "$1 $2 $3 $5 $6" == "create cluster --name --config -" ]]; then
		$QUICKSTART_CREATE "$4"
	else
		command kind "$@"
	fi
}
`
