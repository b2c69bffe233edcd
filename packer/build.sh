#!/bin/bash
# Builds virtual machine images from the templates beside it, with HashiCorp Packer and QEMU.
# `./build.sh --help` shows how; README.md says more.
set -euo pipefail

VERSION=1.0.0
PACKER_DIR=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
IMAGES_DIR=$PACKER_DIR/images
# Whole names: `cargo xtask packer check` lists a changed file for review when this one names it.
for part in common.sh base-image.sh children.sh list-files.sh inputs.sh image-set.sh limits.sh packer.sh sbom.sh boot.sh \
    questions.sh; do
    # shellcheck source=/dev/null
    . "$PACKER_DIR/lib/$part"
done

# Options that lib/limits.sh and lib/inputs.sh read. Whoever starts this over ssh may give the second one in the environment.
export ALLOW_LARGE='' IMAGE_VERSION=${IMAGE_VERSION-}
# Filled by main, removed by clean_up.
WORK='' TEMPORARY='' STAGED='' LOCKED=''

usage() {
    cat <<EOF
usage: ./build.sh [--force] [--exit-code] [--allow-large] [--source VERSION] [IMAGE…]
       ./build.sh --list | --inputs [IMAGE…] | --validate [IMAGE…] | --help | --version

Builds each IMAGE (all images if none is named) into images/IMAGE/, unless its inputs have not changed since
its last build. If a build fails or is stopped, the previous image stays.

  --force       build even if nothing changed
  --allow-large accept an image that is larger than its template's \`limits\` allow
  --source VERSION
                the version tag that the image is built for, such as v0.45; recorded in the image. Default: the version
                tag of the commit that is built, if nothing differs from it
  --exit-code   exit $EXIT_NOTHING_TO_DO instead of 0 when there was nothing to do for any image
  --validate    check the templates with packer fmt and packer validate; builds nothing
  --inputs      print what the images are made of as JSON: each file with its mode and git's id of its bytes, the
                digest of the base image (null if it is unknown) and the settings; builds nothing
  --list        print the names of the images
  --help, --version

Settings, from the environment or as NAME=value lines in build.env beside this script:
  ACCELERATOR   kvm, tcg or auto (default auto: KVM where it can be opened, else TCG, which is slow)
  BASE_IMAGE_URL, BASE_IMAGE_CHECKSUM
                what to start from instead of Debian's generic cloud image, for one IMAGE; the checksum is
                sha512:<hex>, sha256:<hex> or file:<URL of a SHA512SUMS>
  MEMORY, CPUS, DISK_SIZE
                of the machine that builds: MiB, a number, such as 4G
  DEBIAN_MIRROR, DEBIAN_SECURITY_MIRROR
                where packages come from during the build
  COMPRESSION   zlib (default, unless the template says otherwise) or zstd
  BOOT_TEST     yes (default) or no: boot the finished image and ask it questions before it replaces the last one
  BOOT_FIRMWARE bios, uefi or all (default): the firmwares that it is booted with
  BOOT_UPGRADE  yes or no: upgrade the booted image, start it again and ask it again (default: yes with KVM)
  BOOT_TIMEOUT  seconds that a boot may take to its first login (default 300, 1800 under TCG)
  TEST_TIMEOUT  seconds that each script in a template's tests may take (default 120, 600 under TCG)
  SSH_TIMEOUT   how long the guest may take to its first login (default 10m, 30m under TCG)
  SSH_PRIVATE_KEY_FILE
                log in with this key instead of one made for each build

Exit codes: 0 built, or nothing to do · $EXIT_FAILED a build failed · $EXIT_USAGE unknown image or option ·
$EXIT_MISSING something needed is missing · $EXIT_NOTHING_TO_DO nothing to do, with --exit-code · 129, 130, 143 stopped by a signal
EOF
}

main() {
    local force='' exit_code='' action=build names=()
    while [ $# -gt 0 ]; do
        case $1 in
        --force) force=1 ;;
        --exit-code) exit_code=1 ;;
        --allow-large) ALLOW_LARGE=1 ;;
        --source)
            IMAGE_VERSION=${2:-nothing}
            [ $# -eq 1 ] || shift
            ;;
        --list | --inputs | --validate | --help | --version) action=${1#--} ;;
        -h) action=help ;;
        --)
            shift
            names+=("$@")
            break
            ;;
        -*) die "$EXIT_USAGE" "unknown option: $1" "./build.sh --help lists the options" ;;
        *) names+=("$1") ;;
        esac
        shift
    done

    [ -z "$IMAGE_VERSION" ] || [[ $IMAGE_VERSION =~ ^$VERSION_PATTERN$ ]] ||
        die "$EXIT_USAGE" "--source needs a version tag such as v0.45, not $(printf %q "$IMAGE_VERSION")"
    case $action in
    help) usage && exit 0 ;;
    version) print_version && exit 0 ;;
    list) list_templates && exit 0 ;;
    esac

    check_names ${names[@]+"${names[@]}"}
    if [ "${#names[@]}" -eq 0 ]; then
        mapfile -t names < <(list_templates)
    else
        mapfile -t names < <(printf '%s\n' "${names[@]}" | awk '!seen[$0]++')
    fi
    read_settings "${#names[@]}"

    if [ "$action" = inputs ]; then
        print_inputs "${names[@]}"
        exit
    fi
    if [ "$action" = validate ]; then
        require_tools packer=packer
        validate_templates "${names[@]}"
        exit
    fi
    build_images "$force" "$exit_code" "${names[@]}"
}

print_version() {
    local packer qemu
    packer=$(packer_version) || packer='not installed'
    [ "$packer" != 'not installed' ] || ! command -v packer >/dev/null || packer='another program of that name'
    qemu=$(qemu_version) || qemu=
    echo "build.sh $VERSION (packer $packer, QEMU ${qemu:-not installed})"
}

# print_inputs NAME…
print_inputs() {
    local name digest out=''
    handle_signals
    for name in "$@"; do
        WORK=$(mktemp -d) || exit "$EXIT_FAILED"
        take_snapshot "$name" "$WORK/packer" || exit "$EXIT_FAILED"
        digest=$(base_image_digest "$(base_image_url "$name")" "$(base_image_checksum "$name")") || digest=
        input_list "$name" "$WORK/packer" "$digest" >"$WORK/inputs" || exit "$EXIT_FAILED"
        out+=${out:+,}$(printf '\n{"name":%s,"inputs":%s}' "$(json_string "$name")" "$(inputs_json "$WORK/inputs")")
        clean_up
    done
    printf '{"schema":1,"images":[%s\n]}\n' "$out"
}

SETTINGS=(ACCELERATOR BASE_IMAGE_URL BASE_IMAGE_CHECKSUM MEMORY CPUS DISK_SIZE DEBIAN_MIRROR
    DEBIAN_SECURITY_MIRROR COMPRESSION BOOT_TEST BOOT_FIRMWARE BOOT_UPGRADE BOOT_TIMEOUT TEST_TIMEOUT SSH_TIMEOUT
    SSH_PRIVATE_KEY_FILE)

# read_settings COUNT: from build.env, where the environment says nothing; refuses what can't be meant.
read_settings() {
    local line name value
    if [ -f "$PACKER_DIR/build.env" ]; then
        while IFS= read -r line || [ -n "$line" ]; do
            [[ $line =~ ^[[:space:]]*(#.*)?$ ]] && continue
            line=${line%$'\r'}
            name=${line%%=*} value=${line#*=}
            if [ "$name" = "$line" ] || [[ " ${SETTINGS[*]} " != *" $name "* ]]; then
                die "$EXIT_USAGE" "build.env: not a setting: $line" "settings: ${SETTINGS[*]}"
            fi
            # As a shell or systemd would read it. A quote that is never closed can't be meant.
            case $value in
            \"*\" | \'*\')
                [ "${#value}" -ge 2 ] || die "$EXIT_USAGE" "build.env: unclosed quote: $line"
                value=${value:1:${#value}-2}
                ;;
            *[\"\']*) die "$EXIT_USAGE" "build.env: unclosed quote: $line" "write NAME=value or NAME=\"value\"" ;;
            esac
            [ -n "${!name-}" ] || printf -v "$name" %s "$value"
        done <"$PACKER_DIR/build.env"
    fi
    for name in "${SETTINGS[@]}"; do
        [ -n "${!name-}" ] || printf -v "$name" %s ''
    done
    : "${ACCELERATOR:=auto}" "${BOOT_TEST:=yes}" "${BOOT_FIRMWARE:=all}" "${BOOT_UPGRADE:=auto}"
    check_setting ACCELERATOR '^(kvm|tcg|auto)$' 'kvm, tcg or auto'
    check_setting COMPRESSION '^(zlib|zstd)?$' 'zlib or zstd'
    check_setting BOOT_TEST '^(yes|no)$' 'yes or no'
    check_setting BOOT_FIRMWARE '^(bios|uefi|all)$' 'bios, uefi or all'
    check_setting BOOT_UPGRADE '^(yes|no|auto)$' 'yes or no'
    check_setting BOOT_TIMEOUT '^([1-9][0-9]*)?$' 'a number of seconds'
    check_setting TEST_TIMEOUT '^([1-9][0-9]*)?$' 'a number of seconds'
    check_setting MEMORY '^([1-9][0-9]*)?$' 'a number of MiB'
    check_setting CPUS '^([1-9][0-9]*)?$' 'a number'
    check_setting DISK_SIZE '^([1-9][0-9]*[KMGT]?)?$' 'a size such as 4G'
    check_setting SSH_TIMEOUT '^([1-9][0-9]*[smh])?$' 'a time such as 20m'
    if [ -n "$BASE_IMAGE_URL" ] && [ "$1" -ne 1 ]; then
        die "$EXIT_USAGE" "BASE_IMAGE_URL is for one image, but $1 are to be built" "name the one image"
    fi
}

check_setting() {
    [[ ${!1} =~ $2 ]] || die "$EXIT_USAGE" "$1 is ${!1}, and must be $3"
}

# build_images FORCE EXIT_CODE NAME…: one after the other; a failure does not keep the others from being built.
build_images() {
    local force=$1 exit_code=$2 name status failure=0 built=() unchanged=() failed=()
    shift 2
    require_tools curl=curl flock=util-linux setsid=util-linux ps=procps sha512sum=coreutils tar=tar
    handle_signals
    [ -z "${PACKER_BUILD_WATCH_STDIN-}" ] || watch_stdin
    for name in "$@"; do
        OUTCOME=
        status=0
        build_image "$name" "$force" || status=$?
        clean_up
        case $status:$OUTCOME in
        0:built) built+=("$name") ;;
        0:unchanged) unchanged+=("$name") ;;
        *)
            failed+=("$name")
            [ "$failure" -ne 0 ] || failure=$status
            ;;
        esac
    done
    LOG=
    [ "${#failed[@]}" -eq 0 ] || complain "failed: ${failed[*]}"
    say "${#built[@]} built, ${#unchanged[@]} unchanged, ${#failed[@]} failed"
    [ "${#failed[@]}" -eq 0 ] || exit "$failure"
    if [ -n "$exit_code" ] && [ "${#built[@]}" -eq 0 ]; then
        exit "$EXIT_NOTHING_TO_DO"
    fi
}

# build_image NAME FORCE: sets OUTCOME to built or unchanged. `set -e` does not hold in here, since the caller
# looks at the status: every step says itself what becomes of its failure.
build_image() {
    local name=$1 force=$2 started=$SECONDS digest url from before reason
    lock_image "$name" || return
    recover_set "$name" || return
    WORK=$PACKER_DIR/.cache/work/$name
    STAGED=$IMAGES_DIR/.staging/$name
    # Files that a killed build left behind; because of the lock no other build uses them.
    rm -rf -- "$WORK" "$STAGED"
    mkdir -p -- "$WORK" || return

    before=$(built_from "$name")
    take_tests "$name" || return "$EXIT_FAILED"
    read_limits "$name" || return "$EXIT_USAGE"
    take_snapshot "$name" "$WORK/packer" || return "$EXIT_FAILED"
    from=$(built_from "$name")
    if [ "$from" != "$before" ]; then
        complain "$name: its inputs changed while they were read; try again"
        return "$EXIT_FAILED"
    fi

    url=$(base_image_url "$name")
    if [ -z "$url" ]; then
        complain "$name: template.pkr.hcl has no default for base_image_url"
        return "$EXIT_FAILED"
    fi
    digest=$(base_image_digest "$url" "$(base_image_checksum "$name")") || {
        complain "$name: the base image is unknown" \
            "name another base image with BASE_IMAGE_URL and BASE_IMAGE_CHECKSUM"
        return "$EXIT_MISSING"
    }
    input_list "$name" "$WORK/packer" "$digest" >"$WORK/inputs" || return "$EXIT_FAILED"
    { echo "revision $OUTPUT_REVISION" && cat -- "$WORK/inputs"; } >"$WORK/cache-key" || return

    reason=$(reason_to_build "$name" "$force")
    if [ -z "$reason" ]; then
        say "$name: unchanged since it was built, nothing to do (--force builds anyway)"
        OUTCOME=unchanged
        return
    fi

    open_log "$name" || return
    say "$name: building, because $reason"
    require_tools packer=packer qemu-img=qemu-utils qemu-system-x86_64=qemu-system-x86 ssh-keygen=openssh-client \
        ssh=openssh-client
    command -v xorriso >/dev/null || command -v mkisofs >/dev/null || command -v genisoimage >/dev/null ||
        require_tools xorriso=xorriso
    require_firmware "$name" || return
    choose_accelerator
    # shellcheck disable=SC2034 # lib/packer.sh reads it
    BASE_IMAGE_DIGEST=$digest
    obtain_base_image "$url" "$digest" || return
    require_room "$name" || return
    identity "$name" "$from" >"$WORK/homestak-image" || return
    TEMPORARY=$(mktemp -d) || return
    local status=0
    packer_build "$name" || status=$?
    if [ "$status" -ne 0 ]; then
        complain "$name: the build failed; the log is $LOG"
        [ "$status" -eq "$EXIT_MISSING" ] || status=$EXIT_FAILED
        return "$status"
    fi
    # `latest` of today is another image tomorrow.
    url=$(dated_url "$url" "$digest")
    finish_image "$name" "$from" "$(without_password "$url")" "$digest" || {
        complain "$name: the image could not be finished; the log is $LOG"
        return "$EXIT_FAILED"
    }
    OUTCOME=built
    say "$name: built in $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s, $(du -h --apparent-size -- \
        "$IMAGES_DIR/$name/$name.qcow2" | cut -f 1), $(paste -sd ' ' -- "$IMAGES_DIR/$name/image-version.txt")"
}

# lock_image NAME: one build of an image at a time.
lock_image() {
    mkdir -p -- "$PACKER_DIR/.cache/locks" "$IMAGES_DIR" || return
    exec 9>>"$PACKER_DIR/.cache/locks/$1" || return
    if ! flock -n 9; then
        complain "$1: another build of this image is running (process $(tail -n 1 -- "$PACKER_DIR/.cache/locks/$1"))"
        exec 9>&-
        return "$EXIT_FAILED"
    fi
    echo "$$" >"$PACKER_DIR/.cache/locks/$1"
    LOCKED=$1
}

base_image_url() {
    printf '%s\n' "${BASE_IMAGE_URL:-$(template_default "$1" base_image_url)}"
}

# base_image_checksum NAME: what is said about the base image's checksum. A URL from outside brings its own
# checksum, or is asked for the list beside it.
base_image_checksum() {
    if [ -n "$BASE_IMAGE_URL" ] || [ -n "$BASE_IMAGE_CHECKSUM" ]; then
        printf '%s\n' "$BASE_IMAGE_CHECKSUM"
    else
        template_default "$1" base_image_checksum
    fi
}

# reason_to_build NAME FORCE: in words; nothing if there is none.
reason_to_build() {
    local key=$IMAGES_DIR/$1/.cache-key
    if [ ! -e "$IMAGES_DIR/$1/$1.qcow2" ]; then
        echo "there is no image yet"
    elif [ -n "$2" ]; then
        echo "of --force"
    elif [ ! -f "$key" ]; then
        echo "no record says what the existing image was built from"
    elif ! cmp -s -- "$key" "$WORK/cache-key"; then
        echo "this changed: $(changed_inputs "$key" "$WORK/cache-key")"
    elif ! is_whole "$1"; then
        echo "the existing image does not match its checksum and record"
    fi
}

open_log() {
    mkdir -p -- "$PACKER_DIR/logs" || return
    find "$PACKER_DIR/logs" -name '*.log' -type f -mtime +90 -delete
    LOG=$PACKER_DIR/logs/$1-$(date -u +%Y%m%dT%H%M%SZ).log
    : >"$LOG"
}

# finish_image NAME BUILT_FROM URL DIGEST: compresses, describes, boots, and only then replaces the image that was
# there.
finish_image() {
    local name=$1 hex
    mkdir -p -- "$STAGED" || return
    say "compressing"
    compress_disk "$WORK/output/disk.qcow2" "$STAGED/$name.qcow2" "$(compression "$name")" || return
    check_size "$name" "$STAGED/$name.qcow2" || return
    run_child sha256sum -- "$STAGED/$name.qcow2" >"$WORK/sha256" || return
    read -r hex _ <"$WORK/sha256"
    hex=${hex#\\}
    printf '%s  %s\n' "$hex" "$name.qcow2" >"$STAGED/$name.qcow2.sha256" || return
    cp -- "$WORK/image-version.txt" "$STAGED/image-version.txt" || return
    write_sbom "$name" "$WORK/packages.tsv" "$STAGED/$name.cdx.json" "$WORK/details.tsv" || return
    gzip -n -9 <"$WORK/files.tsv" >"$STAGED/$name.files.gz" || return
    boot_test "$name" "$STAGED/$name.qcow2" || return
    write_record "$name" "$STAGED" "$hex" "$2" "$3" "$4" "$WORK/inputs" || return
    cp -- "$WORK/cache-key" "$STAGED/.cache-key" || return
    chmod -R u=rwX,go=rX -- "$STAGED"
    put_in_place "$name" "$STAGED"
}

# clean_up: after each image, and at every end of the script.
clean_up() {
    [ -z "$TEMPORARY" ] || rm -rf -- "$TEMPORARY"
    [ -z "$WORK" ] || rm -rf -- "$WORK"
    [ -z "$STAGED" ] || rm -rf -- "$STAGED"
    if [ -n "$LOCKED" ]; then
        recover_set "$LOCKED"
        rmdir -- "$IMAGES_DIR/.staging" 2>/dev/null || true
        exec 9>&-
    fi
    WORK='' TEMPORARY='' STAGED='' LOCKED=''
}

main "$@"
