#!/usr/bin/env bash
# Prints the objects of a folder of config/, in which tombolo's image is IMAGE.
#
# usage: hack/manifests.sh crd|default|hub IMAGE
set -euo pipefail

cd "$(dirname "$0")/.."
folder=${1:?a folder of config/} image=${2:?an image, such as ghcr.io/tombolo-net/tombolo:v1.2.3}
kustomize=$(hack/tool.sh kustomize)

# What follows the last slash may have a tag, a digest or both.
name=${image%%@*} digest= tag=
[[ $image == *@* ]] && digest=${image#*@}
if [[ ${name##*/} == *:* ]]; then
	tag=${name##*:} name=${name%:*}
fi
if [[ -z $tag$digest ]]; then
	echo "image $image has neither tag nor digest: IMG=$image:v1.2.3" >&2
	exit 2
fi

# kustomize takes paths inside the tree only.
mkdir -p dist
overlay=$(mktemp -d dist/manifests.XXXXXX)
trap 'rm -r "$overlay"' EXIT
cat >"$overlay/kustomization.yaml" <<END
resources:
- ../../config/$folder
images:
- name: tombolo-net/tombolo
  newName: "$name"
  newTag: "$tag"
  digest: "$digest"
END
"$kustomize" build "$overlay"
