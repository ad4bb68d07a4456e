# For scripts that make system calls fail on purpose; sourced with RQ_SOURCE set. See faultshim.c.
#
# With fault_room=memory, sourcing it changes to a folder where flushing files costs nothing.
#
#   fault PLAN COMMAND...        runs the command under the plan, e.g. write:3:ENOSPC
#   fault_count CALL COMMAND...  prints how many such calls the command makes

if [ "${fault_room:-}" = memory ] && fault_room=$(mktemp -d /dev/shm/rq-faults-XXXXXX 2>/dev/null); then
    trap 'cd /; rm -rf "$fault_room"' EXIT
    trap 'exit 1' HUP INT TERM
    cd "$fault_room"
fi

fault_shim=$PWD/.faultshim.so
if ! ${CC:-cc} -O1 -shared -fPIC -o "$fault_shim" "$RQ_SOURCE/tests/crash/faultshim.c" -ldl; then
    echo "no compiler for the fault shim"
    exit 77
fi

# A sanitizer's runtime wants to be first; here the shim is, on purpose.
fault() {
    fault_plan=$1
    shift
    env RQ_FAULT="$fault_plan" LD_PRELOAD="$fault_shim" \
        ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0" "$@"
}

fault_count() {
    fault_call=$1
    shift
    RQ_FAULT_COUNT=$PWD/.faultcount fault "$fault_call:0:EIO" "$@" >/dev/null 2>&1 || : # whatever came of it
    cat "$PWD/.faultcount"
    rm -f "$PWD/.faultcount"
}
