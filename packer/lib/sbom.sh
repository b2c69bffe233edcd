# shellcheck shell=bash
# The list of an image's packages, as a CycloneDX 1.6 document that scanners read. Needs lib/common.sh.

# write_sbom NAME LIST FILE [DETAILS]: turns what record-packages.sh wrote in the guest into FILE. Package URLs have the form that
# syft writes; trivy looks a package up by its source only where its own properties name that.
#
# LIST has a line `os ID VERSION_ID CODENAME VERSION`, then a line a package: name, version, architecture, source
# package, the source's version; with TAB between the fields. DETAILS has what record-details.sh wrote, sizes in KiB; it may be missing.
write_sbom() {
    local serial details=${4-}
    [ -s "$details" ] || details=/dev/null
    serial=$(</proc/sys/kernel/random/uuid) || return 1
    LC_ALL=C awk -F '\t' -v image="$1" -v tool="$VERSION" -v serial="$serial" -v time="$(date -u +%Y-%m-%dT%H:%M:%SZ)" '
        # All but letters, digits and .-_~: of a name or version that passed the check below.
        function escaped(text) {
            gsub(/\+/, "%2B", text)
            return text
        }
        function property(name, value) {
            return sprintf("{\"name\":\"%s\",\"value\":\"%s\"}", name, value)
        }
        function trivy(name, value) {
            return property("aquasecurity:trivy:" name, value)
        }
        function wrong(why) {
            printf "line %d of the list of packages %s\n", FNR, why >"/dev/stderr"
            failed = 1
            exit 1
        }
        FILENAME == ARGV[1] {
            if ($1 == "cve" && $2 ~ /^[a-z0-9][a-z0-9+.-]*$/ && $3 ~ /^[A-Za-z0-9.+:~-]+$/ && $4 ~ /^CVE-[0-9]+-[0-9]+( CVE-[0-9]+-[0-9]+)*$/) {
                gsub(/ /, "/", $4)
                fixes = fixes "," property("homestak:packer:cve:" $2, $3 "/" $4)
            }
            if ($4 !~ /^[0-9]+$/) next
            if ($1 == "package") size[$2, $3] = $4
            else if ($1 == "folder" && $2 ~ /^\/[A-Za-z0-9._+\/-]+$/) folders = folders "," property("homestak:packer:folder:" $2, $4)
            next
        }
        FNR == 1 {
            if ($1 != "os" || NF != 5) wrong("does not name the system")
            for (i = 2; i <= 5; i++) if ($i !~ /^[A-Za-z0-9.+~:\/_-]+$/) wrong("does not name the system")
            distro = $2 "-" $3
            id = $2
            printf "{\"$schema\":\"http://cyclonedx.org/schema/bom-1.6.schema.json\",\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.6\","
            printf "\"serialNumber\":\"urn:uuid:%s\",\"version\":1,\n", serial
            printf "\"metadata\":{\"timestamp\":\"%s\",", time
            printf "\"tools\":{\"components\":[{\"type\":\"application\",\"name\":\"build.sh\",\"version\":\"%s\"}]},", tool
            printf "\"component\":{\"bom-ref\":\"image\",\"type\":\"file\",\"name\":\"%s.qcow2\"}},\n\"components\":[\n", image
            printf "{\"bom-ref\":\"os\",\"type\":\"operating-system\",\"name\":\"%s\",\"version\":\"%s\",\"properties\":[%s,%s,", \
                $2, $5, trivy("Class", "os-pkgs"), trivy("Type", $2)
            printf "%s%s%s]}", property("homestak:packer:codename", $4), folders, fixes
            next
        }
        NF != 5 || $1 !~ /^[a-z0-9][a-z0-9+.-]*$/ || $4 !~ /^[a-z0-9][a-z0-9+.-]*$/ || $3 !~ /^[a-z0-9-]+$/ ||
            $2 !~ /^[A-Za-z0-9.+:~-]+$/ || $5 !~ /^[A-Za-z0-9.+:~-]+$/ { wrong("is not a package") }
        ($1, $2, $3) in seen { wrong("names a package a second time") }
        {
            seen[$1, $2, $3]
            purl = "pkg:deb/" id "/" escaped($1) "@" escaped($2) "?arch=" $3 "&distro=" distro
            if ($5 != $2) purl = purl "&upstream=" escaped($4) "%40" escaped($5)
            else if ($4 != $1) purl = purl "&upstream=" escaped($4)
            epoch = 0
            upstream = $5
            if ((at = index(upstream, ":")) > 0) {
                epoch = substr(upstream, 1, at - 1)
                upstream = substr(upstream, at + 1)
            }
            revision = ""
            if (match(upstream, /-[^-]*$/)) {
                revision = substr(upstream, RSTART + 1)
                upstream = substr(upstream, 1, RSTART - 1)
            }
            properties = trivy("PkgType", id) "," trivy("SrcName", $4) "," trivy("SrcVersion", upstream)
            if (revision != "") properties = properties "," trivy("SrcRelease", revision)
            if (epoch + 0 > 0) properties = properties "," trivy("SrcEpoch", epoch)
            if (($1, $3) in size) properties = properties "," property("homestak:packer:size", size[$1, $3])
            printf ",\n{\"bom-ref\":\"%s\",\"type\":\"library\",\"name\":\"%s\",\"version\":\"%s\",\"purl\":\"%s\",\"properties\":[%s]}", \
                purl, $1, $2, purl, properties
            packages++
        }
        END {
            if (failed) exit 1
            if (!packages) { print "the list of packages is empty" >"/dev/stderr"; exit 1 }
            print "\n]}"
        }' "$details" "$2" >"$3"
}

# listed_json FILE: what the record says about a list: its name, bytes and digest.
listed_json() {
    local hex size
    hex=$(sha256sum <"$1") && size=$(stat -c %s -- "$1") || return 1
    printf '{"file":%s,"size":%s,"sha256":"%s"}' "$(json_string "${1##*/}")" "$size" "${hex%% *}"
}
