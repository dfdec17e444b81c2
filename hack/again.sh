#!/usr/bin/env bash
# Runs "go test". If one test or two fail, runs each of them twice more, alone,
# and passes if both runs pass: where several clusters share two CPUs, some test
# of hundreds is late now and then. It says which these were; they have to be
# mended all the same. It fails if one fails again, if more than two failed, or
# if a package ended in any other way.
#
# usage: hack/again.sh go test [FLAG...] ./PACKAGE...
set -uo pipefail

if [[ ${1-} != go || ${2-} != test ]]; then
	sed -n 's/^# usage/usage/p' "$0" >&2
	exit 2
fi

output=$(mktemp)
trap 'rm -f "$output"' EXIT
"$@" 2>&1 | tee "$output"
code=${PIPESTATUS[0]}
((code != 0)) || exit 0

# Lines "PACKAGE TEST" of the tests that failed, and "PACKAGE" of a package that failed without naming one. With -v the name of a test
# comes before the end of its package, too.
failed=$(awk '
	/^--- FAIL: / { names[++n] = $3; next }
	/^(panic: |fatal error: )/ { broken = 1 }
	/^FAIL\t/ { if (broken || n == 0) print $2; else for (i = 1; i <= n; i++) print $2, names[i]; n = broken = 0 }
	/^ok  \t/ { n = broken = 0 }
' "$output" | sort -u)
(($(wc -l <<<"$failed") <= 2)) && ! grep -qvE '^\S+ \S+$' <<<"$failed" || exit "$code"

module=$(go list -m)
command=()
for argument; do
	[[ $argument == ./* ]] || command+=("$argument")
done
for _ in 1 2; do
	while read -r package name; do
		echo "==> again: $name of $package" >&2
		sleep 20 # what the run before deletes on a cluster may still be going
		"${command[@]}" -count=1 -run "^$name\$" "./${package#"$module/"}" </dev/null || exit "$code"
	done <<<"$failed"
done
while read -r package name; do
	echo "==> UNRELIABLE: $name of $package failed, then passed twice alone. What it said stands above." >&2
done <<<"$failed"
