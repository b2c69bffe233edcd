#!/bin/bash
# Checks a list of packages: against the schema of CycloneDX, each package URL in its canonical form, each reference once.
# The schemas and the reader of package URLs come from PyPI, once, into target/; where they can't be had it says so in a
# line that starts with `skipped:`, and exits 77.
#
# usage: valid-sbom.sh FILE.cdx.json
set -euo pipefail

target=${CARGO_TARGET_DIR:-$(dirname -- "${BASH_SOURCE[0]}")/../../target} wanted='cyclonedx-python-lib[json-validation]==11.12.0'
export PYTHONPATH=$target/sbom/cyclonedx-11.12.0
if [ ! -d "$PYTHONPATH" ]; then
    mkdir -p "${PYTHONPATH%/*}"
    new=$(mktemp -d "$PYTHONPATH.XXXXXX")
    trap 'rm -rf -- "$new"' EXIT
    said=$(python3 -m pip --quiet --disable-pip-version-check install --only-binary :all: --target "$new" "$wanted" 2>&1) || {
        echo "skipped: cyclonedx-python-lib can't be installed: $(tail -n 1 <<<"$said")"
        exit 77
    }
    # Another run may have been quicker.
    mv -T -- "$new" "$PYTHONPATH" 2>/dev/null || [ -d "$PYTHONPATH" ]
fi
python3 - "$1" <<'PY'
import collections, json, pathlib, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
text = pathlib.Path(sys.argv[1]).read_text()
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
assert error is None, error
# What the schema says nothing about.
components = json.loads(text)["components"]
for component in components:
    if "purl" in component:
        url = PackageURL.from_string(component["purl"])
        assert url.to_string() == component["purl"], component
        assert (url.name, url.version) == (component["name"], component["version"]), component
references = collections.Counter(component["bom-ref"] for component in components)
assert max(references.values()) == 1, references.most_common(3)
assert sum(component["type"] == "operating-system" for component in components) == 1
PY
