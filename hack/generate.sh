#!/usr/bin/env bash
# Generates what derives from the Go code: deepcopy functions, CRDs, roles, the reference of all fields.
# With --check it changes nothing, and fails if the tree differs.
#
# usage: hack/generate.sh [--check]
set -euo pipefail

cd "$(dirname "$0")/.."
gen=$(hack/tool.sh controller-gen)
ref=$(hack/tool.sh crd-ref-docs)
out=$(mktemp -d)
trap 'rm -r "$out"' EXIT
mkdir -p "$out"/config/{crd/bases,rbac} "$out"/api/v1alpha1 "$out"/docs

"$gen" object paths=./api/... output:object:dir="$out/api/v1alpha1"
"$gen" crd paths=./api/... output:crd:dir="$out/config/crd/bases"
go run ./hack/mcscrd "$out/config/crd/bases"
for part in operator:controllers gateway:gateway dataplane:dataplane; do
	"$gen" "rbac:roleName=tombolo-${part%:*},fileName=${part%:*}_role.yaml" paths="./${part#*:}/..." \
		output:rbac:dir="$out/config/rbac"
done
"$ref" --log-level ERROR --source-path ./api/v1alpha1 --config hack/tools/reference/config.yaml \
	--templates-dir hack/tools/reference/templates --renderer markdown --output-path "$out/docs/reference.md"

cd "$out"
mapfile -t files < <(find . -type f | sort)
cd "$OLDPWD"
if [[ ${1-} != --check ]]; then
	for file in "${files[@]}"; do
		cmp -s "$out/$file" "$file" || { cp "$out/$file" "$file" && echo "generate: wrote ${file#./}"; }
	done
	exit
fi
stale=0
for file in "${files[@]}"; do
	diff -u --label "${file#./} in the tree" --label "${file#./} generated" "$file" "$out/$file" || stale=1
done
if ((stale)); then
	echo "generated files differ from the code; run: make generate" >&2
	exit 1
fi
