"""Write docs/settings.md from the models in napari_singlestrip/engine/config.py.

``python docs/make_settings.py`` writes the page; ``--check`` only says whether it is up to date.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from napari_singlestrip.engine.config import EFFORTS, PRESETS, Config, Settings
from napari_singlestrip.engine.overrides import settings_for

PAGE = Path(__file__).with_name("settings.md")

INTRODUCTION = """\
# Settings

This page is written by `docs/make_settings.py` from `napari_singlestrip/engine/config.py`; change
it there and run `make docs`.

One dial, the effort, derives every setting: `singlestrip run STUDY --effort quick`. Any single
one can still be changed: `singlestrip run STUDY --set training.steps=500`. Lists are written as
JSON: `--set 'network.channels=[8,16,32]'`. Each round of a study keeps what it ran with in its own
`settings.json`.
"""


def settings_page() -> str:
    """Return the whole page as Markdown."""
    sections = [INTRODUCTION, _efforts_section(), _table("General", "", Settings)]
    groups = {name: _group(info.annotation) for name, info in Settings.model_fields.items()}
    sections += [_table(_title(name), f"{name}.", group) for name, group in groups.items() if group]
    return "\n".join(sections)


def _efforts_section() -> str:
    """Only what differs between the efforts."""
    names = sorted({name for preset in PRESETS.values() for name in preset})
    rows = [["`" + name + "`", *(_code(_value(effort, name)) for effort in EFFORTS)]
            for name in names]
    return "## What an effort changes\n\n" + _markdown_table(["Setting", *EFFORTS], rows)


def _value(effort: Any, name: str) -> Any:
    node: Any = settings_for(effort)
    for part in name.split("."):
        node = getattr(node, part)
    return node


def _table(title: str, prefix: str, model: type[Config]) -> str:
    rows = [
        [f"`{prefix}{name}`", _code(info.get_default()), _range(info), info.description or ""]
        for name, info in model.model_fields.items()
        if _group(info.annotation) is None
    ]
    text = f"## {title}\n\n"
    if prefix and model.__doc__:
        text += f"{model.__doc__.strip()}\n\n"
    return text + _markdown_table(["Setting", "Default", "Range", "Meaning"], rows)


def _group(annotation: Any) -> type[Config] | None:
    """The model of a group of settings; None for a single setting."""
    is_group = isinstance(annotation, type) and issubclass(annotation, Config)
    return annotation if is_group else None


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _range(info: FieldInfo) -> str:
    """Choices of a literal, or the bounds of a number."""
    if get_origin(info.annotation) is Literal:
        return ", ".join(_code(choice) for choice in get_args(info.annotation))
    words = {"ge": "at least {}", "gt": "more than {}", "le": "at most {}", "lt": "less than {}",
             "min_length": "{} or more of them"}
    bounds = [
        template.format(_number(getattr(bound, attribute)))
        for bound in info.metadata
        for attribute, template in words.items()
        if getattr(bound, attribute, None) is not None
    ]
    return ", ".join(bounds)


def _code(value: Any) -> str:
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value}"


def _markdown_table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def main(arguments: list[str]) -> int:
    page = settings_page()
    if "--check" in arguments:
        up_to_date = PAGE.exists() and PAGE.read_text(encoding="utf-8") == page
        print(f"{PAGE.name}: {'up to date' if up_to_date else 'outdated, run make docs'}")
        return 0 if up_to_date else 1
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
