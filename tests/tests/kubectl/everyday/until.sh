#!/bin/sh
# until.sh LINES COMMAND: runs a command that has no end until it has written so many lines, and ends it then.
lines=$1
shift
: >until.out
"$@" >until.out 2>until.err &
until [ "$(wc -l <until.out)" -ge "$lines" ] || ! kill -0 $! 2>/dev/null; do sleep 0.1; done
kill $! 2>/dev/null
wait $! 2>/dev/null
cat until.out
cat until.err >&2
