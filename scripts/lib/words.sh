# shellcheck shell=bash
# Words that people mistype.

# did_you_mean WORD CANDIDATE…: `, did you mean CANDIDATE?` for the one with the longest beginning in common, if that is
# more than what all options begin with.
did_you_mean() {
    local word=$1 best='' most=3 candidate length
    shift
    for candidate in "$@"; do
        length=0
        while [ "$length" -lt "${#candidate}" ] && [ "${word:length:1}" = "${candidate:length:1}" ]; do
            length=$((length + 1))
        done
        if [ "$length" -gt "$most" ]; then
            most=$length
            best=$candidate
        fi
    done
    [ -z "$best" ] || echo ", did you mean $best?"
}
