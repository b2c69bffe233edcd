# shellcheck shell=sh
# Read by `sh -c` on this machine: runs scp with the arguments given, and ends it when standard input ends. That is open for
# as long as the tool lives, so no scp outlives a tool that was killed.
exec 3<&0 </dev/null
scp "$@" 3<&- &
copy=$!
{
    cat <&3
    kill "$copy"
} >/dev/null 2>&1 &
watch=$!
exec 3<&-
wait "$copy"
status=$?
kill "$watch" 2>/dev/null
exit "$status"
