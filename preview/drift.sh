#!/usr/bin/env bash
# Says what in the clusters is not as the stacks have made it, and changes nothing: preview/drift.sh OUT [STACK...]
# OUT gets <stack>.txt. Exit code: 1 if something has drifted, 2 if it could not be told.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 1 ] || { echo "usage: preview/drift.sh OUT [STACK...]" >&2; exit 2; }
out=$1; shift
[ $# -gt 0 ] || set -- dc dr
mkdir -p "$out"
result=0
for stack in "$@"; do
	code=0
	pulumi refresh --preview-only --expect-no-changes --diff --non-interactive --color never --stack "$stack" >"$out/$stack.txt" 2>&1 || code=$?
	case $code in
	0) echo "$stack: as it was made" ;;
	7) echo "$stack: has drifted; see $out/$stack.txt" >&2; [ $result -ge 1 ] || result=1 ;; # the CLI's code for changes that were not expected
	*)
		if grep -q 'no changes were expected' "$out/$stack.txt"; then echo "$stack: has drifted; see $out/$stack.txt" >&2; [ $result -ge 1 ] || result=1
		else echo "$stack: could not be told" >&2; tail -5 "$out/$stack.txt" >&2; result=2; fi ;;
	esac
done
exit $result
