#!/usr/bin/env bash
# The Python package as a user gets it: built into a wheel, installed into a fresh environment,
# tested there, its types checked, and its stubs compared with the module.
#
# usage: tests/python/run.sh [PYTEST ARGUMENT...]
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=$PWD/target/python-venv
wheels=$PWD/target/python-wheels
rm -rf "$wheels"
python3 -m venv --clear "$venv"
# Only what is in the environment is seen, whatever the shell has set up.
unset PYTHONPATH PYTHONHOME
export VIRTUAL_ENV=$venv PATH=$venv/bin:$PATH
pip install --quiet --requirement tests/python/requirements.txt

echo "python: building the wheel"
# Unoptimised, with the other crates' target folder: what the Rust tests have compiled is not
# compiled again.
(cd python && maturin build --quiet --locked --target-dir "$PWD/../target" --out "$wheels")
pip install --quiet --no-index --no-deps "$wheels"/quorate-*.whl

echo "python: types"
mypy --config-file python/pyproject.toml --package quorate
mypy --config-file python/pyproject.toml tests/python/*.py
mypy --config-file python/pyproject.toml --no-incremental examples/python/*.py
# stubtest is content with a module that is not there, so it is imported first.
(cd target && python -c 'import quorate._quorate' && python -m mypy.stubtest quorate._quorate)

echo "python: tests"
# A last bound: every test has its own. The children of a test die with it.
timeout --kill-after=10 900 python -m pytest --config-file python/pyproject.toml --rootdir . \
    -p no:cacheprovider tests/python "$@"
