"""The folder of a guided demo: studies of the same heads, and the progress of the guide."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_singlestrip.demo.guide import STEPS, Part
from napari_singlestrip.engine.imaging.scan_files import check_folder_name
from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import read_json, write_json_atomic
from napari_singlestrip.sample_data.finished_study import FOLDER as FINISHED
from napari_singlestrip.sample_data.finished_study import TUNED_FOLDER, unfold_tuned
from napari_singlestrip.sample_data.first_head import unfold_first_head
from napari_singlestrip.study.document import DOCUMENT_NAME
from napari_singlestrip.study.study import Study

NAME = "guided-demo"
RECORD = "guide.json"


@dataclass(frozen=True)
class GuidedFolder:
    """Paths of a guided demo; nothing is written outside of it."""

    path: Path

    @property
    def painting(self) -> Path:
        """The study that the person paints in."""
        return self.path / "study"

    @property
    def finished(self) -> Path:
        """The study to jump to; it exists once its heads are made."""
        return self.path / FINISHED

    @property
    def tuned(self) -> Path:
        """The finished study after a round of fine-tuning."""
        return self.path / TUNED_FOLDER

    @property
    def is_drawn(self) -> bool:
        """Whether all heads and the finished study exist."""
        return (self.finished / DOCUMENT_NAME).is_file()

    def part(self, study: Study | None) -> Part:
        """Which of them a study is; "" for another one, or none."""
        if study is None:
            return ""
        folders: dict[Path, Part] = {
            self.painting: "painting", self.finished: "finished", self.tuned: "tuned",
        }
        return folders.get(study.folder, "")

    def study(self, part: Part) -> Path:
        """Return the study of a part; the one to paint in while the others are not drawn."""
        if part == "painting" or not self.is_drawn:
            return self.painting
        return self.finished if part == "finished" else unfold_tuned(self.path)

    def prepare(self) -> None:
        """Make the study to paint in, with the first head, unless it exists.

        Raises
        ------
        UserError
            If the folder holds other files, or cannot be written.
        """
        hint = "Choose another folder: `singlestrip demo --window --out DIR`."
        check_folder_name(self.path)
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file.", hint)
        begun = (self.path / RECORD).is_file()
        if not begun and self.path.is_dir() and any(self.path.iterdir()):
            raise UserError(f"{self.path} holds other files, and no guided demo.", hint)
        if not begun:
            self.keep_place(0)
        if not (self.painting / DOCUMENT_NAME).is_file():
            first = unfold_first_head(self.path / "first")
            Study.create(self.painting, [first])

    def take_heads(self, study: Study) -> None:
        """Add the heads made so far to the study that is painted."""
        drawn = sorted((self.path / "scans").glob("sample-*.nii.gz"))
        known = set(study.scans.names)
        new = [file for file in drawn if file.name.removesuffix(".nii.gz") not in known]
        if new:  # the first one already exists with smaller voxels
            study.scans.add(new)

    def place(self) -> int:
        """Return the step of the guide that was reached."""
        try:
            at = read_json(self.path / RECORD)["at"]
        except (OSError, UserError, ValueError, TypeError, KeyError):
            return 0
        return at if type(at) is int and 0 <= at <= len(STEPS) else 0

    def keep_place(self, at: int) -> None:
        """Save the step of the guide that was reached."""
        write_json_atomic(self.path / RECORD, {"at": at})
