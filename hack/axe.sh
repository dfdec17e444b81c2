#!/usr/bin/env bash
# Prints the path of axe-core, which looks for what keeps people from using a page, after fetching it
# by npm into the cache outside the tree if it is not there. Version and checksum are pinned here.
# Tests run it; it is no part of what ships.
set -euo pipefail

version=4.14.1
sum=29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c # of axe.min.js, SHA-256

cache=${TOMBOLO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tombolo}/tools
file=$cache/axe-$version-${sum::12}.js
if [[ ! -f $file ]]; then
	mkdir -p "$cache"
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	archive=$(npm pack --silent --pack-destination "$work" "axe-core@$version")
	tar --extract --gzip --file "$work/$archive" --directory "$work" package/axe.min.js
	sha256sum --quiet --check <<<"$sum  $work/package/axe.min.js" >&2 || {
		echo "axe.sh: axe-core $version is not what it was: its checksum differs" >&2
		exit 1
	}
	mv "$work/package/axe.min.js" "$file"
fi
echo "$file"
