"""What a visitor of the repository finds: citation, forms and workflows that can be read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from napari_singlestrip import __version__

ROOT = Path(__file__).parents[1]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def load(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def test_citation_is_of_this_version_and_names_the_method() -> None:
    citation = load(ROOT / "CITATION.cff")
    assert citation["version"] == __version__
    assert citation["license"] == "BSD-3-Clause"
    method = citation["preferred-citation"]
    assert "2508.10464" in method["identifiers"][0]["value"]
    assert {author["family-names"] for author in method["authors"]} == {
        "Specktor-Fadida", "Hoffmann",
    }


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_issue_form_asks_for_something(path: Path) -> None:
    form = load(path)
    if path.name == "config.yml":
        return
    assert form["name"] and form["description"]
    fields = [part for part in form["body"] if part["type"] != "markdown"]
    assert all(part["id"] and part["attributes"]["label"] for part in fields)
    assert any(part.get("validations", {}).get("required") for part in fields)


def test_workflow_runs_what_is_there() -> None:
    workflow = load(ROOT / ".github" / "workflows" / "tests.yml")
    commands = [
        step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step
    ]
    assert "bash .ci/run" in commands and (ROOT / ".ci" / "run").is_file()
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    promised = re.findall(r"Programming Language :: Python :: (\d+\.\d+)", setup)
    assert promised and workflow["jobs"]["linux"]["strategy"]["matrix"]["python"] == promised
    systems = workflow["jobs"]["other"]["strategy"]["matrix"]["os"]
    assert {name.split("-")[0] for name in systems} == {"macos", "windows"}


def test_documentation_builds_as_a_site_that_asks_nobody(tmp_path: Path) -> None:
    """Strictly: a link that leads nowhere is an error. No page loads anything from elsewhere."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)], cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stderr
    pages = {path.parent.name for path in tmp_path.glob("*/index.html")}
    assert {"tutorial", "how_to", "settings", "CONTRIBUTING"} <= pages
    home = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "one</strong> painted brain" in home and 'href="tutorial/"' in home
    assert not re.findall(r"""<(?:script|img|link rel="stylesheet")[^>]*https?://""", home)
