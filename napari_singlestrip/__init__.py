"""Learn to strip skulls from one painted brain.

For scripts (see ``docs/scripting.md``)::

    import napari_singlestrip as ss
    mask = ss.load_model("my_study").strip("head.nii.gz")

Importing the package is cheap: `engine` holds the method (arrays and tensors), `study` the document
on disk, `pipeline` the work on a study, `cli` the command line and `widgets` the napari plugin. See
``docs/architecture.md``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_singlestrip.engine.masks.surface_files import save_surface
    from napari_singlestrip.errors import UserError
    from napari_singlestrip.pipeline.apply import apply
    from napari_singlestrip.pipeline.stages import run
    from napari_singlestrip.pipeline.stripper import Stripper, load_model
    from napari_singlestrip.study.review import review
    from napari_singlestrip.study.study import Study

__version__ = "0.1.0"

__all__ = [
    "Stripper", "Study", "UserError", "__version__", "apply", "load_model", "review", "run",
    "save_surface",
]  # fmt: skip

# The public names and their modules, imported on first use.
_MODULES = {
    "Stripper": "pipeline.stripper",
    "Study": "study.study",
    "UserError": "errors",
    "apply": "pipeline.apply",
    "load_model": "pipeline.stripper",
    "review": "study.review",
    "run": "pipeline.stages",
    "save_surface": "engine.masks.surface_files",
}

if not TYPE_CHECKING:  # otherwise mypy would accept every misspelt name

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)

    def __dir__() -> list[str]:
        return sorted(__all__)
