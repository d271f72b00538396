#!/bin/sh
# The language host of this version compiles the program at every operation unless it is told which binary to run. The newer
# CLI tells it in a way that it does not know, so the workspace names the binary in REDIS_WAL_PROGRAM.
exec "$(dirname "$0")/language-host" ${REDIS_WAL_PROGRAM:+"-binary=$REDIS_WAL_PROGRAM"} "$@"
