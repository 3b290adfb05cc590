#!/usr/bin/env bash
# Make a virtual environment, or keep the one that is there and works. It does not when an installation
# was interrupted: pip fails on a package whose metadata was not written.
#
#   tools/make_venv.sh FOLDER [PYTHON]
set -euo pipefail
folder=$1
python=${2:-python3}
here=$(cd "$(dirname "$0")" && pwd)

is_whole='from importlib.metadata import distributions as d; assert all(x.metadata["Name"] for x in d())'
works() {
    "$folder/bin/python" -m pip --version >/dev/null 2>&1 &&
        "$folder/bin/python" -c "$is_whole" 2>/dev/null
}
works && exit 0

if ! "$python" -c "import ensurepip, venv" 2>/dev/null; then
    echo "$python cannot make virtual environments yet."
    "$here/system_packages.sh" python
fi
if ! "$python" -c "import sys; sys.exit(sys.version_info < (3, 11))"; then
    echo "Python 3.11 or newer is needed; $python is $("$python" -V). Try: make PYTHON=python3.11" >&2
    exit 1
fi
echo "Making a virtual environment in $folder"
"$python" -m venv --clear "$folder"
