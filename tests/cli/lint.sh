# The lint finds every kind of mistake it claims to find, and nothing in a clean tree.
set -eu
# A folder of its own, wherever this is called from: it empties rooms as it goes.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir common ingest train tests
clean() {
    rm -f common/* ingest/* train/* tests/*
    printf '// SPDX-License-Identifier: Apache-2.0\n#include "common/a.h"\n' >common/a.c
    printf '#ifndef A_H\n#define A_H\nint a(void);\n#endif\n' >common/a.h
}
lint() { sh "$RQ_SOURCE/tests/lint.sh" 2>&1; }
finds() { # message
    if lint >out; then
        echo "not found: $1"
        exit 1
    fi
    grep -q "$1" out || { echo "expected '$1', got:"; cat out; exit 1; }
    [ "$(wc -l <out)" = 2 ] || { echo "more than one finding:"; cat out; exit 1; }
    rm out
    clean
}
clean
lint >out || { echo "a clean tree is refused:"; cat out; exit 1; }
rm out

printf '\tint b;\n' >>common/a.c
finds 'common/a.c:3: a tab'
printf 'int b; \n' >>common/a.c
finds 'common/a.c:3: blanks at the end'
printf 'int b;' >>common/a.c
finds 'no newline at the end'
printf '// a\342\200\213b\n' >>common/a.c
finds 'an invisible character'
printf '// see /ho''me/me/x\n' >>common/a.c
finds 'a path of one machine'
printf '// TO''DO later\n' >>common/a.c
finds 'a note to oneself'
printf 'int b;\n' >common/b.c
finds 'common/b.c:1: no licence line'
printf '#include "train/t.h"\n' >>common/a.c
finds 'common may not include this'
printf '#include "a.h"\n' >>common/a.c
finds 'common may not include this'
printf '#include "pack/p.h"\n' >ingest/i.h
printf 'int p;\n' >common/p.h
sed -i 's|pack/p.h|common/p.h|' ingest/i.h
lint >out && rm out
printf '// SPDX-License-Identifier: Apache-2.0\n#include "pack/p.h"\n' >ingest/i.c
finds 'ingest may not include this'
for call in 'printf("x")' 'exit(1)' 'getenv("X")' 'fprintf(stderr, "x")' 'fputs("x", stdout)'; do
    printf 'void f(void) { %s; }\n' "$call" >>common/a.c
    finds 'a library room prints'
done
printf 'void f(char *b) { snprintf(b, 2, "x"); }\n// then exit() is called\n' >>common/a.c
lint >out || { echo "snprintf or a comment is refused:"; cat out; exit 1; }
rm out
clean
printf 'size_t n;\n' >train/t.h
finds 'train/t.h:1: does not compile alone as c11'
printf '#ifdef __cplusplus\nextern "C" {\n#endif\nstatic inline int *f(void *p)\n{\n    return p;\n}\n' >train/t.h
printf '#ifdef __cplusplus\n}\n#endif\n' >>train/t.h
sed -i '1i #ifndef T_H\n#define T_H' train/t.h
echo '#endif' >>train/t.h
if echo 'int main() {}' | ${CC:-cc} -x c++ -fsyntax-only - 2>/dev/null; then
    finds 'train/t.h:1: does not compile alone as c++17'
fi
