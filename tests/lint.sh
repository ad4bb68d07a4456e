#!/bin/sh
# What the compiler does not look at: lint.sh, run from the root of the source (`make lint`).
#
#   text      tabs in C, blanks at line ends, missing final newlines, invisible characters,
#             paths of one machine, notes to oneself, the licence line of every .c
#   walls     a room includes only itself and the rooms left of it, with paths from the root
#   quiet     library rooms do not print, exit or read the environment
#   headers   every header compiles alone, as C, and as C++ when it says extern "C"
# Prints FILE:LINE: what is wrong, and exits 1 if there was anything.
set -u
cc=${CC:-cc}
export LC_ALL=C # bytes, not characters
found=$(mktemp)
trap 'rm -f "$found"' EXIT

if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    files=$(git ls-files)
else
    files=$(find . -type f -not -path './.git/*' -not -path './build/*' | sed 's|^\./||')
fi
only() { # pattern of names; files that exist and hold text
    for f in $files; do
        case $f in *.png | *.jpg | *.avif | *.zst | *.tar | tests/fuzz/corpus/*) continue ;; esac
        [ -f "$f" ] && echo "$f" | grep -E "$1"
    done
}
text=$(only .)
code=$(only '\.[ch]$')
headers=$(only '\.h$')

# report MESSAGE: reads grep -n output, "FILE:LINE:the line"
report() {
    sed -E "s/^([^:]*:[0-9]+):.*/\1: $1/" >>"$found"
}

# ---- text -----------------------------------------------------------------------------------
grep -HnP '\t' $code | report 'a tab; indent with blanks'
grep -HnE '[[:blank:]]+$' $text | report 'blanks at the end of the line'
for f in $text; do
    [ ! -s "$f" ] || [ -z "$(tail -c 1 "$f")" ] || echo "$f:1: no newline at the end" >>"$found"
done
grep -HnP '\xE2\x80[\x8B-\x8F\xAA-\xAE]|\xE2\x81[\xA0-\xAF]|\xEF\xBB\xBF' $text |
    report 'an invisible character'
grep -HnE '(^|[^A-Za-z0-9_.])/(wor[k]|roo[t]|hom[e])/' $text | report 'a path of one machine'
grep -HnwE 'TOD[O]|FIXM[E]|XX[X]' $text | report 'a note to oneself; do it or drop it'
for f in $(only '\.c$'); do
    head -1 "$f" | grep -qx '// SPDX-License-Identifier: Apache-2.0' ||
        echo "$f:1: no licence line" >>"$found"
done

# ---- walls ----------------------------------------------------------------------------------
walls() { # room, rooms it may include
    room_code=$(only "^$1/.*\.[ch]\$")
    [ -z "$room_code" ] ||
        grep -HnE '^[[:blank:]]*#[[:blank:]]*include[[:blank:]]+"' $room_code |
        grep -vE "include[[:blank:]]+\"($2)/" | report "$1 may not include this (only $2)"
}
walls common 'common'
walls ingest 'common|ingest'
walls pack 'common|ingest|pack'
walls augment 'common|ingest|pack|augment'
walls train 'common|ingest|pack|augment|train'
walls tools 'common|ingest|pack|augment|train|tools'

# ---- quiet ----------------------------------------------------------------------------------
libraries=$(only '^(common|ingest|pack|augment|train)/.*\.[ch]$')
[ -z "$libraries" ] ||
    grep -HnE '(^|[^A-Za-z0-9_])((v?printf|puts|putchar|perror|_?exit|abort|getenv|setenv)\(|v?f(printf|puts|putc|write)\((.*, *)?std(out|err))' \
        $libraries | grep -vE '^[^:]*:[0-9]+:[[:blank:]]*(//|\*|/\*)' |
    report 'a library room prints, exits or reads the environment'

# ---- headers --------------------------------------------------------------------------------
cxx=yes
echo 'int main() {}' | $cc -x c++ -fsyntax-only - >/dev/null 2>&1 || cxx=no
alone() { # header, language, standard
    printf '#include "%s"\n#include "%s"\n' "$1" "$1" |
        $cc -I. ${CPPFLAGS:-} -Wall -Wextra -Werror -Wno-unused-parameter -Wno-unused-function \
            -x "$2" -std="$3" -fsyntax-only - >/dev/null 2>&1 ||
        echo "$1:1: does not compile alone as $3" >>"$found"
}
for h in $headers; do
    case $h in *_body.h | *_vec.h) continue ;; esac # written once for several sets of definitions
    alone "$h" c c11
    [ $cxx = no ] || ! grep -q 'extern "C"' "$h" || alone "$h" c++ c++17
done

n=$(wc -l <"$found")
sort "$found"
echo "lint: $(echo "$text" | wc -l) files, $(echo "$headers" | wc -l) headers alone" \
    "(C++: $cxx), $n found"
[ "$n" = 0 ]
