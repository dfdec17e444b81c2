#!/usr/bin/env bash
# Prints the path of a tool that hack/tools pins, after building it into the
# cache outside the tree if it is not there: once per version of tool and Go.
#
# usage: hack/tool.sh controller-gen|golangci-lint
set -euo pipefail

cd "$(dirname "$0")/.."
case ${1-} in
controller-gen) package=sigs.k8s.io/controller-tools/cmd/controller-gen usually="usually 20 s, once" ;;
golangci-lint) package=github.com/golangci/golangci-lint/v2/cmd/golangci-lint usually="usually 2 to 6 minutes, once" ;;
*)
	echo "usage: hack/tool.sh controller-gen|golangci-lint" >&2
	exit 2
	;;
esac

cache=${TOMBOLO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tombolo}/tools
digest=$( (cat hack/tools/go.mod hack/tools/go.sum && go version) | sha256sum | cut -c1-12)
tool=$cache/$1-$digest
if [[ ! -x $tool ]]; then
	mkdir -p "$cache"
	exec 9>"$cache/$1.lock"
	flock 9
	# Another run may have built it meanwhile. It gets its name when it is whole.
	if [[ ! -x $tool ]]; then
		hack/step.sh "building $1" "$usually" \
			env CGO_ENABLED=0 go -C hack/tools build -trimpath -ldflags="-s -w" -o "$tool.part" "$package" 9>&-
		mv "$tool.part" "$tool"
	fi
fi
echo "$tool"
