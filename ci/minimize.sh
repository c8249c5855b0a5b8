#!/usr/bin/env bash
# Reduces the corpus of a fuzz target to the inputs that cover most: ci/minimize.sh TARGET COUNT.
#
# Inputs in fuzz/new are candidates too. First come the inputs that reach every edge that any candidate reaches. If
# there is room for more, inputs follow that take edges a different number of times. At most COUNT are kept.
set -euo pipefail
cd "$(dirname "$0")/.."
name=$1 count=$2
work=$(realpath -m "${CARGO_TARGET_DIR:-target}")/minimize/$name
rm -rf "$work"
mkdir -p "$work" "fuzz/new/$name"
# An input that is in the corpus already is not new. libFuzzer names inputs by their hash.
for input in "fuzz/corpus/$name"/*; do rm -f "fuzz/new/$name/${input##*/}"; done

# Runs every candidate once and records the features of each: edges, or edges with counters.
record() {
    local counters=$1
    mkdir "$work/merged-$counters"
    cargo +nightly fuzz run --sanitizer none "$name" "$work/merged-$counters" "fuzz/corpus/$name" "fuzz/new/$name" -- \
        -set_cover_merge=1 -use_counters="$counters" -merge_control_file="$work/control-$counters" -max_len=4096 \
        -verbosity=0 >"$work/output-$counters" 2>&1 || { cat "$work/output-$counters" >&2; return 1; }
}

# Chooses, again and again, the input with the most features that no chosen input has. The control file of a merge has
# the names of the inputs, and for each the line `FT number feature...`.
choose() {
    awk -v count="$1" '
        FNR == 1 { part++ }
        part == 1 { kept[$0] = 1; next } # The names that were chosen before.
        FNR == 1 { inputs = $1; next }
        FNR == 2 { next }
        FNR <= inputs + 2 { name[FNR - 3] = $0; next }
        $1 == "STARTED" { size[$2] = $3 }
        $1 == "FT" { features[$2] = substr($0, length($1 $2) + 3) }
        function gain(input,    list, length_of_list, i, new) {
            length_of_list = split(features[input], list, " ")
            for (i = 1; i <= length_of_list; i++) if (!(list[i] in covered)) new++
            return new + 0
        }
        function take(input, unprinted,    list, length_of_list, i) {
            length_of_list = split(features[input], list, " ")
            for (i = 1; i <= length_of_list; i++) covered[list[i]] = 1
            if (!unprinted) print name[input]
            delete features[input]
            taken++
        }
        END {
            for (input = 0; input < inputs; input++) if (name[input] in kept) take(input)
            for (input in features) bound[input] = gain(input)
            while (taken < count) {
                # A gain never grows, so the earlier gains of the others are upper bounds.
                do {
                    best = -1
                    for (input in bound)
                        if (best < 0 || bound[input] > bound[best] ||
                            bound[input] == bound[best] && size[input] < size[best]) best = input
                    if (best < 0) break
                    before = bound[best]
                    bound[best] = gain(best)
                } while (bound[best] < before)
                if (best < 0 || !bound[best]) break
                take(best)
                delete bound[best]
            }
            kept_features = length(covered)
            for (input in features) take(input, "unprinted")
            printf "%d of %d\n", kept_features, length(covered) > "/dev/stderr"
        }' "$2" "$3"
}

record 0
record 1
choose "$count" <(echo) "$work/control-0" >"$work/edges" 2>"$work/edges-covered"
choose "$count" "$work/edges" "$work/control-1" >"$work/kept" 2>"$work/counters-covered"

mkdir "$work/corpus"
xargs -d '\n' cp -t "$work/corpus" <"$work/kept"
before=$(find "fuzz/corpus/$name" -type f | wc -l)
rm -rf "fuzz/corpus/$name"
mv "$work/corpus" "fuzz/corpus/$name"
echo "minimize: $name: $(wc -l <"$work/kept") inputs (before: $before)," \
    "edges: $(cat "$work/edges-covered"), edges with counters: $(cat "$work/counters-covered")"
