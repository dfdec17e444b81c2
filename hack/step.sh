#!/usr/bin/env bash
# Runs a command that may take long. One that is done within two seconds stays
# silent; of any other it says what is being done and how long that usually
# takes, then the time elapsed every 20 seconds. Of tests that failed it repeats
# at the end which, and what they said. Ends with the command's code.
#
# usage: hack/step.sh WHAT USUALLY COMMAND [ARG...]
set -uo pipefail

if (($# < 3)); then
	echo "usage: hack/step.sh WHAT USUALLY COMMAND [ARG...]" >&2
	exit 2
fi
what=$1 usually=$2
shift 2

# tick waits by read, not by sleep: no child outlives it and holds the output.
tick() {
	local never
	exec {never}<> <(:)
	read -rt 2 -u "$never"
	echo "==> $what ($usually)" >&2
	while ! read -rt 20 -u "$never"; do
		echo "    $what: ${SECONDS} s so far" >&2
	done
}

# failed prints the tests that failed, and the last lines of each that come from
# a test file: go test prints them after the name, with -v before it.
failed() {
	awk '
		/^ *--- FAIL/ { for (i = n > 3 ? n - 3 : 0; i < n; i++) print substr(line[i], 1, 400); print; n = 0; left = 8; next }
		/^ *--- |^===|^ok|^FAIL/ { n = left = 0 }
		/^(panic|FAIL.*\/)/ { print }
		/_test\.go:[0-9]+:/ { if (left-- > 0) print substr($0, 1, 400); else line[n++] = $0 }
	' "$1" | tail -n 60
}

SECONDS=0
tick &
ticker=$!
output=$(mktemp)
trap 'kill "$ticker" 2>/dev/null; wait "$ticker" 2>/dev/null; rm -f "$output"' EXIT
# Apart, for callers who read what the command prints.
"$@" > >(tee -a "$output") 2> >(tee -a "$output" >&2)
code=$?
if ((code != 0)); then
	sleep 1 # for tee, which does not wait for what may outlive the command
	echo "==> $what: failed after ${SECONDS} s" >&2
	failed "$output" >&2
elif ((SECONDS > 2)); then
	echo "==> $what: done in ${SECONDS} s" >&2
fi
exit "$code"
