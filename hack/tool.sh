#!/usr/bin/env bash
# Prints the path of a tool that hack/tools or a module below it pins, after building it into the
# cache outside the tree if it is not there: once per version of tool and Go.
#
# usage: hack/tool.sh controller-gen|golangci-lint|actionlint|crd-ref-docs|cyclonedx-gomod|envoy-translate|govulncheck|helm3|helm4|kube-network-policies|kubebuilder|kustomize|prometheus|promtool
set -euo pipefail

cd "$(dirname "$0")/.."
# What a release needs is pinned apart: the linters need not be built again when it changes.
pins=hack/tools ldflags="-s -w" tags=
case ${1-} in
controller-gen) package=sigs.k8s.io/controller-tools/cmd/controller-gen usually="usually 20 s, once" ;;
golangci-lint) package=github.com/golangci/golangci-lint/v2/cmd/golangci-lint usually="usually 2 to 6 minutes, once" ;;
actionlint) pins=hack/tools/release package=github.com/rhysd/actionlint/cmd/actionlint usually="usually 10 s, once" ;;
crd-ref-docs) pins=hack/tools/reference package=github.com/elastic/crd-ref-docs usually="usually 20 s, once" ;;
cyclonedx-gomod) pins=hack/tools/release package=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod usually="usually 20 s, once" ;;
govulncheck) pins=hack/tools/release package=golang.org/x/vuln/cmd/govulncheck usually="usually 10 s, once" ;;
kube-network-policies) pins=hack/tools/netpol package=sigs.k8s.io/kube-network-policies/cmd usually="usually 1 minute, once" ;;
envoy-translate) pins=hack/tools/envoy package=./translate.go usually="usually 4 minutes, once" ;;
prometheus | promtool) # without service discovery, which would be most of what is built
	pins=hack/tools/prometheus package=github.com/prometheus/prometheus/cmd/$1 tags=remove_all_sd usually="usually 3 minutes, once" ;;
kubebuilder) pins=hack/tools/kubebuilder package=sigs.k8s.io/kubebuilder/v4 usually="usually 30 s, once" ;;
kustomize) pins=hack/tools/kubebuilder package=sigs.k8s.io/kustomize/kustomize/v5 usually="usually 10 s, once" ;;
helm3 | helm4)
	pins=hack/tools/helm module=helm.sh/helm/v${1#helm}
	package=$module/cmd/helm usually="usually 1 to 5 minutes, once"
	# Helm's own Makefile stamps its version, and into v3 that of the Kubernetes client in it. Without
	# that v3 takes itself for a client of 1.20 and refuses charts for newer clusters.
	ldflags+=" -X $module/internal/version.version=$(awk -v m="$module" '$1 == m { print $2 }' $pins/go.mod)"
	if [[ $1 == helm3 ]]; then
		minor=$(awk '$1 == "k8s.io/client-go" { split($2, v, "."); print v[2] }' $pins/go.mod)
		for of in lint/rules chartutil; do
			ldflags+=" -X $module/pkg/$of.k8sVersionMajor=1 -X $module/pkg/$of.k8sVersionMinor=$minor"
		done
	fi
	;;
*)
	sed -n 's/^# usage/usage/p' "$0" >&2
	exit 2
	;;
esac

cache=${TOMBOLO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tombolo}/tools
digest=$( (cat "$pins"/go.{mod,sum} && if [[ $1 == envoy-translate ]]; then cat "$pins/$package.in"; fi && go version) | sha256sum | cut -c1-12)
tool=$cache/$1-$digest
if [[ ! -x $tool ]]; then
	mkdir -p "$cache"
	exec 9>"$cache/$1.lock"
	flock 9
	# Another run may have built it meanwhile. It gets its name when it is whole.
	if [[ ! -x $tool ]]; then
		from=$pins
		if [[ $1 == envoy-translate ]]; then # what it imports is internal to its module: it is built in a copy
			from=$(mktemp -d)
			trap 'rm -rf "$from"' EXIT
			module=$(go -C "$pins" mod download -json github.com/envoyproxy/gateway | sed -n 's/.*"Dir": "\(.*\)",/\1/p')
			cp -r --no-preserve=mode "$module"/. "$from"
			cp "$pins/$package.in" "$from/$package"
		fi
		hack/step.sh "building $1" "$usually" \
			env CGO_ENABLED=0 go -C "$from" build -trimpath -buildvcs=false -tags="$tags" -ldflags="$ldflags" -o "$tool.part" "$package" 9>&-
		mv "$tool.part" "$tool"
	fi
fi
echo "$tool"
