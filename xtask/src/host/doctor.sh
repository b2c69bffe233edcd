# shellcheck shell=sh
# Read by `sh -s -- PACKER_DIR` on a build host: a line NAME=VALUE for each thing that a build needs.
dir=$1
# missing PACKAGE COMMAND…: names the package where none of the commands is there.
missing() {
    package=$1
    shift
    for command; do
        if command -v "$command" >/dev/null 2>&1; then return; fi
    done
    printf ' %s' "$package"
}
if cd "$dir" 2>/dev/null; then
    echo folder=yes
    for engine in build.sh build; do
        if [ -f "$engine" ] && [ -x "$engine" ]; then
            echo "engine=$engine"
            # What it calls itself: ours downloads base images and locks; packer makes a CD of cloud-init's data.
            packages="$(missing openssh-client ssh-keygen)$(missing xorriso xorriso mkisofs genisoimage)"
            if [ -f lib/base-image.sh ]; then
                packages="$packages$(missing curl curl)$(missing util-linux flock)$(missing procps ps)"
            fi
            echo "missing=${packages# }"
            break
        fi
    done
    if cat templates/*.pkr.hcl templates/*/*.pkr.hcl 2>/dev/null </dev/null | head -c 1048576 |
        grep -q '^[[:space:]]*accelerator[[:space:]]*=[[:space:]]*"kvm"'; then
        echo only-kvm=yes
    fi
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
