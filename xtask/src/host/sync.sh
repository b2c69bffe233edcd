# shellcheck shell=sh
# Read by `sh -s -- FOLDER` on a build host, with the archive in its place. Replaces what is in the folder by it, and leaves what builds keep there: images, logs, downloads, the host's own build.env.
dir=$1
mkdir -p -- "$dir" && cd -- "$dir" || exit 1
rm -rf .incoming .incoming.tar
# Also when there is no room for it.
trap 'rm -rf .incoming .incoming.tar' EXIT
mkdir .incoming || exit 1
base64 -d >.incoming.tar <<'END' || exit 1
@ARCHIVE@
END
tar -x -p --no-same-owner -f .incoming.tar -C .incoming || exit 1
for old in * .[!.]*; do
    case $old in
    .cache | .incoming | .incoming.tar | build.env | images | logs) ;;
    *) rm -rf -- "$old" || exit 1 ;;
    esac
done
for new in .incoming/* .incoming/.[!.]*; do
    if [ -e "$new" ] || [ -L "$new" ]; then mv -- "$new" . || exit 1; fi
done
printf 'done\0'
