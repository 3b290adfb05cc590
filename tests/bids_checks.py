"""Is it valid BIDS? The schema's own rules for names, and the validator, where it is installed."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest


def invalid_names(root: Path) -> list[str]:
    """Images and sidecars whose paths the schema of BIDS does not know, by bidsschematools."""
    reason = "bidsschematools, which knows the names of BIDS, is missing"
    schemas = pytest.importorskip("bidsschematools.schema", reason=reason)
    rules = pytest.importorskip("bidsschematools.rules", reason=reason)
    schema = schemas.load_schema()
    known = [
        re.compile(rule["regex"])
        for rule in rules.regexify_filename_rules(schema.rules.files.deriv.imaging, schema, level=1)
    ]
    paths = [path.relative_to(root).as_posix() for path in root.glob("sub-*/**/*.*")]
    assert paths
    return sorted(path for path in paths if not any(one.fullmatch(path) for one in known))


def errors_of_validator(root: Path) -> list[dict[str, Any]]:
    """What the validator calls an error."""
    done = subprocess.run(
        [_validator(), "--format", "json", str(root)], capture_output=True, text=True,
        env={**os.environ, "NO_COLOR": "1", "DENO_NO_UPDATE_CHECK": "1"}, timeout=300, check=False,
    )  # fmt: skip
    if not done.stdout.lstrip().startswith("{"):
        pytest.skip(f"the BIDS validator does not run here: {(done.stderr or done.stdout)[:200]}")
    issues = json.loads(done.stdout)["issues"]["issues"]
    return [issue for issue in issues if issue["severity"] == "error"]


def _validator() -> str:
    try:
        files = importlib.metadata.files("bids-validator-deno") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("bids-validator-deno is not installed")
    for file in files:
        if file.name in ("bids-validator-deno", "bids-validator-deno.exe"):
            return str(Path(str(file.locate())).resolve())
    pytest.skip("bids-validator-deno has no program here")
