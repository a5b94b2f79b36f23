#!/bin/sh
# Announces a version to Andon: POST /api/releases, tried again while Andon cannot record it.
#
# Everything comes in by the environment, so that nothing of it is ever read as a command. Needs curl and python3.
set -eu

fail() {
    echo "::error title=Andon::$1"
    exit 1
}

if [ "${GITHUB_ACTIONS:-}" = true ] && [ -n "${ANDON_TOKEN:-}" ]; then
    # Read by the runner, which shows it nowhere from here on; elsewhere it would only be printed.
    echo "::add-mask::${ANDON_TOKEN}"
fi
for name in ANDON_URL ANDON_TOKEN ANDON_SERVICE ANDON_VERSION ANDON_ARTIFACT; do
    eval "value=\${${name}:-}"
    [ -n "${value}" ] || fail "${name} is empty; give the action the input of this name."
done

body=$(mktemp)
answer=$(mktemp)
trap 'rm -f "${body}" "${answer}"' EXIT

python3 - "${body}" <<'PYTHON' || fail "The inputs make no announcement; the lines above say why."
import json
import os
import sys

given = os.environ.get
whole = {
    "service": given("ANDON_SERVICE"),
    "version": given("ANDON_VERSION"),
    "artifact": given("ANDON_ARTIFACT"),
    "digest": given("ANDON_DIGEST", ""),
    "commit": given("ANDON_COMMIT", ""),
    "url": given("ANDON_RUN_URL", ""),
    "one_way": given("ANDON_ONE_WAY", "") == "true",
}
if given("ANDON_CHANGES"):
    whole["changes"] = json.loads(given("ANDON_CHANGES"))
if given("ANDON_ANCESTORS"):
    whole["ancestors"] = given("ANDON_ANCESTORS").split()
with open(sys.argv[1], "w", encoding="utf-8") as file:
    json.dump({key: value for key, value in whole.items() if value not in ("", False)}, file)
PYTHON

# The token goes to curl by its standard input: what stands in arguments can be read by every process of the machine.
ask() {
    printf 'header = "Authorization: Bearer %s"\n' "${ANDON_TOKEN}" | curl --config - --silent --show-error \
        --max-time 30 --output "${answer}" --write-out '%{http_code}' \
        --header 'Content-Type: application/json' --header "Idempotency-Key: ${ANDON_KEY:-}" \
        --data-binary "@${body}" "${ANDON_URL%/}/api/releases"
}

attempt=1
while :; do
    status=$(ask) || status=000
    case "${status}" in
    201) break ;;
    000 | 502 | 503 | 504)
        [ "${attempt}" -lt "${ANDON_ATTEMPTS:-6}" ] || fail "Andon at ${ANDON_URL} did not record it (${status})."
        echo "Andon could not record it (${status}); trying again in ${ANDON_PAUSE:-10} seconds."
        sleep "${ANDON_PAUSE:-10}"
        attempt=$((attempt + 1))
        ;;
    *)
        fail "Andon refused (${status}): $(python3 -c 'import json,sys
try:
    print(" ".join(str(json.load(open(sys.argv[1]))["detail"]).split()))
except (ValueError, KeyError, TypeError):
    print("no reason was given")' "${answer}")"
        ;;
    esac
done

python3 - "${answer}" <<'PYTHON'
import json
import os
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    said = json.load(file)
print(" ".join(str(said["answer"]).split()))
if os.environ.get("GITHUB_OUTPUT"):
    with open(os.environ["GITHUB_OUTPUT"], "a", encoding="utf-8") as outputs:
        for name in ("release", "digest"):
            outputs.write(f"{name}={' '.join(str(said[name]).split())}\n")
PYTHON
