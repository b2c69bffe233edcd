# shellcheck shell=bash
# Everything that knows HashiCorp Packer and QEMU. Needs lib/common.sh and lib/children.sh.

# packer_version: such as 1.6.6. What has no version to tell is another program of that name, and may wait for input or
# never end.
packer_version() {
    local line
    line=$(timeout -k 1 10 packer version 2>/dev/null </dev/null) || return 1
    [[ $line =~ v([0-9]+(\.[0-9]+)+) ]] && printf '%s\n' "${BASH_REMATCH[1]}"
}

# refuse_other_packer: a program without a version is not HashiCorp's.
refuse_other_packer() {
    complain "\`packer\` is another program here ($(command -v packer); on some systems it is cracklib's)" \
        "install HashiCorp's packer, and put its folder first in PATH"
    return "$EXIT_MISSING"
}

# has_plugins VERSION: true from 1.7 on, where the QEMU builder is a plugin that a template asks for.
has_plugins() {
    printf '%s\n' 1.7 "$1" | sort -V -C
}

# add_shared_packer_files NAME SNAPSHOT VERSION: puts the files that all templates share beside the template, as far as
# this version of packer understands them.
add_shared_packer_files() {
    local file
    for file in "$2"/shared/packer/*.pkr.hcl; do
        case ${file##*/} in
        required-plugins.pkr.hcl) has_plugins "$3" || continue ;;
        esac
        cp -- "$file" "$2/templates/$1/shared-${file##*/}" || return 1
    done
}

# make_seed NAME SNAPSHOT FOLDER: the ssh key, and what cloud-init is to read. Sets KEY_FILE.
make_seed() {
    local public text
    mkdir -p "$3" || return 1
    if [ -n "$SSH_PRIVATE_KEY_FILE" ]; then
        KEY_FILE=$SSH_PRIVATE_KEY_FILE
        public=$(ssh-keygen -y -P '' -f "$KEY_FILE" 2>&1) || {
            complain "cannot use the key in SSH_PRIVATE_KEY_FILE: $public"
            return 1
        }
    else
        KEY_FILE=$3/key
        rm -f "$KEY_FILE" "$KEY_FILE.pub"
        ssh-keygen -q -t ed25519 -N '' -C image-build -f "$KEY_FILE" || return 1
        public=$(<"$KEY_FILE.pub")
    fi
    text=$(<"$2/shared/cloud-init/user-data.in") || return 1
    printf '%s\n' "${text//@SSH_PUBLIC_KEY@/"$public"}" >"$3/user-data"
    text=$(<"$2/shared/cloud-init/meta-data.in") || return 1
    text=${text//@INSTANCE_ID@/"$1-$$-$(date +%s)"}
    printf '%s\n' "${text//@IMAGE_NAME@/"$1"}" >"$3/meta-data"
}

# choose_accelerator: sets ACCELERATED to kvm or tcg.
choose_accelerator() {
    local device=${KVM_DEVICE:-/dev/kvm}
    # shellcheck disable=SC2153 # a setting of build.sh
    ACCELERATED=$ACCELERATOR
    if [ "$ACCELERATOR" = auto ]; then
        ACCELERATED=tcg
        if [ -e "$device" ] && (: <>"$device") 2>/dev/null; then
            ACCELERATED=kvm
        fi
    fi
    if [ "$ACCELERATED" = kvm ]; then
        say "accelerator: KVM"
    elif [ "$ACCELERATOR" = auto ]; then
        say "accelerator: TCG, because $device cannot be opened here; slow, takes about ten times as long as KVM"
    else
        say "accelerator: TCG, as requested; slow, takes about ten times as long as KVM"
    fi
}

# packer_variables NAME: sets PACKER_VARIABLES for `packer build`.
packer_variables() {
    PACKER_VARIABLES=(
        -var "accelerator=$ACCELERATED"
        -var "base_image_url=$BASE_IMAGE_FILE"
        -var "base_image_checksum=$BASE_IMAGE_DIGEST"
        -var "seed_directory=$WORK/seed"
        -var "ssh_private_key_file=$KEY_FILE"
        -var "output_directory=$WORK/output"
        -var "version_file=$WORK/image-version.txt"
        -var "packages_file=$WORK/packages.tsv"
        -var "details_file=$WORK/details.tsv"
        -var "files_file=$WORK/files.tsv"
        -var "identity_file=$WORK/homestak-image"
        -var "serial_log=${LOG%.log}.serial.log"
        -var "debian_mirror=$DEBIAN_MIRROR"
        -var "debian_security_mirror=$DEBIAN_SECURITY_MIRROR"
    )
    local timeout=10m cpu=host
    if [ "$ACCELERATED" = tcg ]; then
        timeout=30m cpu=max
    fi
    PACKER_VARIABLES+=(-var "ssh_timeout=${SSH_TIMEOUT:-$timeout}" -var "cpu_model=$cpu")
    [ -z "$MEMORY" ] || PACKER_VARIABLES+=(-var "memory=$MEMORY")
    [ -z "$CPUS" ] || PACKER_VARIABLES+=(-var "cpus=$CPUS")
    [ -z "$DISK_SIZE" ] || PACKER_VARIABLES+=(-var "disk_size=$DISK_SIZE")
}

# run_packer COMMAND…: packer with its own temporary files, and without what an environment says to it
# that neither the cache key nor the record would know of.
run_packer() {
    local name unset=()
    while IFS= read -r name; do
        unset+=(-u "$name")
    done < <(compgen -e PKR_VAR_)
    run_logged env "${unset[@]}" CHECKPOINT_DISABLE=1 PACKER_NO_COLOR=1 \
        PACKER_CACHE_DIR="$WORK/cache" TMPDIR="$TEMPORARY" packer "$@"
}

# packer_build NAME: builds $WORK/output/disk.qcow2, with $WORK/image-version.txt and $WORK/packages.tsv.
packer_build() {
    local version status=0 folder=$WORK/packer/templates/$1
    version=$(packer_version) || {
        refuse_other_packer
        return
    }
    add_shared_packer_files "$1" "$WORK/packer" "$version" || return
    make_seed "$1" "$WORK/packer" "$WORK/seed" || return
    packer_variables "$1"
    if has_plugins "$version" && ! run_packer init "$folder"; then
        complain "packer cannot fetch its QEMU plugin" "run \`packer plugins install github.com/hashicorp/qemu\` to see why"
        return 1
    fi
    PACKER_PLUGIN=$(plugin_version "$folder" "$version")
    run_packer build -color=false -timestamp-ui "${PACKER_VARIABLES[@]}" "$folder" || status=$?
    if [ "$status" -ne 0 ]; then
        explain_failure "$status"
        return 1
    fi
    [ -s "$WORK/output/disk.qcow2" ] || {
        complain "packer reported success, but left no disk image"
        return 1
    }
}

# plugin_version FOLDER PACKER_VERSION: of the QEMU builder that is used; nothing where packer has it built in.
plugin_version() {
    has_plugins "$2" || return 0
    # `packer init` took the one version that the file beside the template names.
    sed -n 's/^ *version *= *"=* *\([0-9.]*\)".*/\1/p' "$1"/shared-required-plugins.pkr.hcl | head -n 1
}

# builder_json: what built the image.
builder_json() {
    local packer qemu plugin=null
    packer=$(packer_version) || packer=
    qemu=$(qemu_version)
    [ -z "${PACKER_PLUGIN-}" ] || plugin=$(json_string "$PACKER_PLUGIN")
    printf '{"packer":%s,"plugin":%s,"qemu":%s}' "$(json_string "$packer")" "$plugin" "$(json_string "$qemu")"
}

# qemu_version: such as 7.2.22.
qemu_version() {
    qemu-system-x86_64 --version 2>/dev/null </dev/null | awk 'NR == 1 { print $4 }'
}

# explain_failure STATUS: what usually is behind the errors that packer's words don't explain.
explain_failure() {
    if [ "$1" -gt 128 ]; then
        complain "packer was ended by SIG$(kill -l "$1"), sent by another program or a person" \
            "after SIGKILL, check \`journalctl -k\`: the kernel may have run out of memory"
    elif grep -qiE 'timeout waiting for ssh|error waiting for ssh' "$LOG"; then
        complain "the guest did not answer over ssh; its console log is ${LOG%.log}.serial.log"
        if [ "$ACCELERATED" = kvm ]; then
            complain "if this host is a virtual machine, its nested KVM may be unable to boot a guest"
            complain "to build without KVM: ACCELERATOR=tcg ./build.sh …, or ACCELERATOR=tcg in build.env"
        else
            complain "TCG is slow: SSH_TIMEOUT=60m gives the guest more time"
        fi
    elif grep -qi 'could not access KVM kernel module\|failed to initialize kvm' "$LOG"; then
        complain "there is no usable KVM here; to build without it: ACCELERATOR=tcg ./build.sh …"
    elif grep -qi 'no space left on device' "$LOG"; then
        complain "a disk is full: a build needs about three times the size of the image in $PACKER_DIR and some in ${TMPDIR:-/tmp}"
    fi
}

# compression NAME: what COMPRESSION says, else the template, else zlib, which every QEMU reads.
compression() {
    local own=$COMPRESSION
    [ -n "$own" ] || own=$(template_default "$1" compression)
    case ${own:=zlib} in
    zlib | zstd) printf '%s\n' "$own" ;;
    *)
        complain "$1: compression in its template is \"$own\", and must be \"zlib\" or \"zstd\""
        return 1
        ;;
    esac
}

# compress_disk FROM TO COMPRESSION: the same disk gives the same bytes, which -W (writing out of order) would not. zstd comes
# with clusters of a MiB, which make it smaller than zlib; QEMU reads it from 5.1 on.
compress_disk() {
    local threads options=()
    threads=$(nproc 2>/dev/null) || threads=1
    [ "$threads" -le 16 ] || threads=16
    [ "$3" = zlib ] || options=(-o "compression_type=$3,cluster_size=1M")
    run_logged qemu-img convert -c -O qcow2 -m "$threads" ${options[@]+"${options[@]}"} -- "$1" "$2" &&
        run_logged qemu-img check -q -- "$2"
}

# validate_templates NAME…: packer fmt and packer validate, without a network where packer is 1.6.
validate_templates() {
    local version name status=0 file
    version=$(packer_version) || refuse_other_packer || exit
    require_tools ssh-keygen=openssh-client
    handle_signals
    for file in "$PACKER_DIR"/shared/packer/*.pkr.hcl; do
        check_format "$file" || status=$EXIT_FAILED
    done
    for name in "$@"; do
        check_format "$PACKER_DIR/templates/$name/template.pkr.hcl" || status=$EXIT_FAILED
        if validate_template "$name" "$version"; then
            say "$name: valid with packer $version"
        else
            complain "$name: not valid with packer $version"
            status=$EXIT_FAILED
        fi
        clean_up
    done
    return "$status"
}

check_format() {
    packer fmt -check "$1" >/dev/null 2>&1 && return
    complain "not formatted: ${1#"$PACKER_DIR/"}; run: packer fmt $1"
    return 1
}

validate_template() {
    local snapshot
    WORK=$(mktemp -d)
    TEMPORARY=$WORK/tmp LOG=$WORK/log snapshot=$WORK/packer
    mkdir "$TEMPORARY"
    take_snapshot "$1" "$snapshot" && add_shared_packer_files "$1" "$snapshot" "$2" &&
        make_seed "$1" "$snapshot" "$WORK/seed" || return
    # Any file and any digest do: nothing is read, only that the template fits together.
    identity "$1" null >"$WORK/homestak-image"
    BASE_IMAGE_FILE=$snapshot/templates/$1/template.pkr.hcl
    BASE_IMAGE_DIGEST=sha512:$(printf '0%.0s' {1..128})
    ACCELERATED=kvm
    packer_variables "$1"
    if has_plugins "$2"; then
        run_packer init "$snapshot/templates/$1" || return
    fi
    run_packer validate "${PACKER_VARIABLES[@]}" "$snapshot/templates/$1"
}
