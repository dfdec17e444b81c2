#!/usr/bin/env bash
# Prints the packages, as ./folder, that have tests with a build tag, but none
# of those below the folders given after it.
#
# usage: hack/tagged.sh TAG [EXCEPT...]
set -euo pipefail

cd "$(dirname "$0")/.."
tag=$1
shift
grep -rlE "^//go:build (.*[^a-z])?$tag([^a-z]|\$)" --include='*_test.go' . | xargs -r -n1 dirname | sort -u |
	while read -r folder; do
		for except in "$@"; do
			[[ $folder/ != "$except"/* ]] || continue 2
		done
		echo "$folder"
	done
