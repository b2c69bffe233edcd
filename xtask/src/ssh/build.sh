# shellcheck shell=sh
# Read by `sh -s -- PACKER_DIR SCRIPT IMAGE FORCE VERSION` on a build host; FORCE is `--force` or empty, VERSION a tag or empty. Runs
# the engine's SCRIPT, `build.sh` or `build`, and reports in frames between NULs: that it began, its exit status, what it left running.
# Each frame has a nonce that the line before this script sets. Standard input stays open for as long as the tool waits: when it
# ends, the build is ended, whether the build watches its input or not.
# shellcheck disable=SC2012 # what is listed are links in /proc, which have no odd names
dir=$1 script=$2 name=$3 force=$4
# The version is no option: an engine other than ours would refuse it.
if [ -n "$5" ]; then export IMAGE_VERSION="$5"; fi

frame() {
    # shellcheck disable=SC2154 # set by the line before
    printf '\0packer:%s:%s\0' "$nonce" "$1"
}

# builds WORD…: whether a process with this command line is a build of this image, by its name or of all images: a shell, or
# another interpreter, that runs the script; not an editor that has it open.
builds() {
    case ${1##*/} in "$script") ;; *sh | python* | perl* | ruby*) shift ;; *) return 1 ;; esac
    while case ${1-} in -*) true ;; *) false ;; esac; do shift; done
    case ${1-} in "$script" | */"$script") shift ;; *) return 1 ;; esac
    others=
    for word; do
        case $word in -*) ;; "$name") return 0 ;; *) others=1 ;; esac
    done
    [ -z "$others" ]
}

# The build of this image that runs here already, as `PID COMMAND`.
running() {
    ls -ld /proc/[0-9]*/cwd 2>/dev/null | {
        set -f
        while read -r line; do
            case $line in *"/cwd -> $PWD") ;; *) continue ;; esac
            pid=${line##* /proc/}
            pid=${pid%%/*}
            command=$({ tr '\0\n' '  ' <"/proc/$pid/cmdline"; } 2>/dev/null)
            # shellcheck disable=SC2086 # its words
            if builds $command; then echo "$pid $command"; fi
        done
    } | head -n 1
}

# What holds this shell's standard output open, as `PID COMMAND` lines: only Linux tells.
holders() {
    mine=$(readlink "/proc/$$/fd/1" 2>/dev/null) || return 0
    ls -l /proc/[0-9]*/fd/[12] 2>/dev/null | while read -r line; do
        case $line in *"-> $mine") ;; *) continue ;; esac
        pid=${line##* /proc/}
        pid=${pid%%/*}
        command=$({ tr '\0\n' '  ' <"/proc/$pid/cmdline"; } 2>/dev/null)
        case $command in "" | "sh -s -- "*) ;; *) echo "$pid $command" ;; esac
    done | sort -u
}

# Ends the build: its leader first, which may clear up, then whatever it left of its group, by force after 18 s.
end_build() {
    kill -s TERM "$build"
    tries=0
    while [ "$tries" -lt 90 ] && kill -s 0 -- "$group"; do
        sleep 0.2 || sleep 1
        kill -s 0 "$build" || kill -s TERM -- "$group"
        tries=$((tries + 1))
    done
    kill -s KILL -- "$group"
}

main() {
    cd "$dir" || exit 3
    PWD=$(pwd -P)
    exec 3<&0 </dev/null
    other=$(running)
    if [ -n "$other" ]; then
        frame "running $other"
        frame end
        exit 1
    fi
    frame began
    stopping=
    trap 'stopping=1' USR1
    # It leads a process group, so that one signal reaches it and what it runs.
    if command -v setsid >/dev/null 2>&1; then
        setsid "./$script" ${force:+"$force"} "$name" 2>&1 3<&- &
        build=$! group=-$!
    else
        "./$script" ${force:+"$force"} "$name" 2>&1 3<&- &
        build=$! group=$!
    fi
    (
        cat <&3
        kill -s USR1 $$
    ) >/dev/null 2>&1 &
    watch=$!
    exec 3<&-
    wait "$build"
    status=$?
    if [ -n "$stopping" ]; then
        end_build >/dev/null 2>&1
        wait "$build"
        status=$?
    fi
    kill -s KILL "$watch" 2>/dev/null
    frame "ended $status"
    holders | while read -r left; do frame "left $left"; done
    frame end
    exit 0
}

main
