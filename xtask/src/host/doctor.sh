# shellcheck shell=sh
# Read by `sh -s -- PACKER_DIR` on a build host: a line NAME=VALUE for each thing that a build needs.
dir=$1
# A login script may have said something before.
echo packer-doctor
if cd "$dir" 2>/dev/null; then
    echo folder=yes
    if [ -x build.sh ]; then echo build-script=yes; else echo build-script=no; fi
    # Where images are written; df of a folder that isn't there yet fails.
    if [ -d images ]; then place=images; else place=.; fi
    if [ -w "$place" ]; then echo writable=yes; else echo writable=no; fi
    echo "free-kib=$(df -Pk "$place" 2>/dev/null </dev/null | awk 'NR == 2 { print $4 }')"
elif [ -d "$dir" ]; then
    echo folder=denied
else
    case $(LC_ALL=C ls -d -- "$dir" 2>&1) in
    *'Permission denied'*) echo folder=denied ;;
    *) echo folder=no ;;
    esac
fi
# Standard input is this script: whoever reads it eats what follows. What has no version to tell is another program of that
# name, and may wait for something to do, or work on.
if command -v timeout >/dev/null 2>&1; then limit='timeout -k 1 10'; else limit=''; fi
for tool in packer qemu-img qemu-system-x86_64; do
    if command -v "$tool" >/dev/null 2>&1; then
        version=$($limit "$tool" --version 2>/dev/null </dev/null | head -n 1 | tr -d '\r')
        echo "$tool=${version:-another program}"
        echo "$tool-path=$(command -v "$tool")"
    else
        echo "$tool="
    fi
done
if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
    echo kvm=yes
elif [ -e /dev/kvm ]; then
    echo kvm=denied
else
    echo kvm=no
fi
echo end
