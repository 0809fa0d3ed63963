#!/bin/sh
# Runs the storage tests and a whole run against fake-gcs-server, a Google Cloud Storage emulator, also through a proxy
# where requests fail; builds the server with Go if it is missing.
#   deploy/fake-gcs/run.sh [pytest options]
set -eu
version=v1.56.1
cd "$(dirname "$0")/../.."

server=${FAKE_GCS_SERVER:-$(command -v fake-gcs-server || true)}
if [ -z "$server" ]; then
    command -v go >/dev/null || { echo "needs fake-gcs-server or Go on the PATH" >&2; exit 2; }
    bin=$(go env GOPATH)/bin
    [ -x "$bin/fake-gcs-server" ] || go install "github.com/fsouza/fake-gcs-server@$version"
    server=$bin/fake-gcs-server
fi
python=.venv/bin/python
[ -x "$python" ] || python=python3
FAKE_GCS_SERVER=$server exec "$python" -m pytest tests/unit/pipeline/storage/test_gcs_real_emulator.py "$@"
