# Every tool and every command explains itself: help to stdout with exit 0 when asked for, to
# stderr with exit 2 when provoked, within a terminal's width, and no option has two meanings.
set -eu
wrong() {
    echo "$1"
    cat out err
    exit 1
}
expect() { # exit code, command...
    want=$1
    shift
    rc=0
    "$@" >out 2>err || rc=$?
    [ $rc = "$want" ] || wrong "'$*' ended with $rc, not $want"
}
tools=0
for path in "$RQ_BIN"/rq-*; do
    tool=$(basename "$path")
    tools=$((tools + 1))
    expect 0 "$tool" --help
    [ -s out ] && [ ! -s err ] || wrong "$tool --help belongs on stdout"
    cp out commands
    expect 2 "$tool"
    [ -s err ] && [ ! -s out ] || wrong "$tool without a command belongs on stderr"
    expect 0 "$tool" --version
    grep -qE "^$tool \(Reliquary\) [0-9]+\.[0-9]+\.[0-9]+$" out || wrong "$tool --version"
    expect 2 "$tool" no-such-command
    grep -q "$tool: unknown command" err || wrong "$tool no-such-command"
    n=0
    for command in $(sed -n '/^commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p' commands); do
        n=$((n + 1))
        expect 0 "$tool" "$command" --help
        [ ! -s err ] || wrong "$tool $command --help belongs on stdout"
        grep -q "^usage: $tool $command" out || wrong "no usage line"
        ! grep -qE '^.{101}' out || wrong "a line of $tool $command --help is too long"
        twice=$(grep -oE '^ {2,6}(-[a-zA-Z], )?--(\[no-\])?[a-z0-9-]+' out |
            sed -E 's/.*--(\[no-\])?//' | sort | uniq -d)
        [ -z "$twice" ] || wrong "$tool $command has two options --$twice"
        letters=$(grep -oE '^  -[a-zA-Z],' out | sort | uniq -d)
        [ -z "$letters" ] || wrong "$tool $command has two options$letters"
        expect 2 "$tool" "$command" --no-such-option
        grep -q "$tool $command: unknown option --no-such-option" err || wrong "the option"
        [ ! -s out ] || wrong "a mistake belongs on stderr"
        expect 2 "$tool" "$command" --config
        expect 3 "$tool" "$command" --config missing.conf
        grep -q 'missing.conf' err || wrong "the missing file is not named"
    done
    [ $n -gt 0 ] || wrong "$tool lists no commands"
done
[ $tools -gt 0 ] || wrong "there are no tools"
