"""The study: a folder with all data, and the objects that read and write it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from psygnal import SignalInstance

from napari_singlestrip.engine.config import Effort, Settings
from napari_singlestrip.engine.overrides import setting_names, settings_for
from napari_singlestrip.errors import FromNewerVersion
from napari_singlestrip.files.locks import exclusive
from napari_singlestrip.study.changes import (
    change_together,
    drop_change,
    finish_change,
    is_pending,
    remove_if_empty,
)
from napari_singlestrip.study.decisions import StudyDecisions
from napari_singlestrip.study.dicom_sources import keep_sources
from napari_singlestrip.study.document import (
    DOCUMENT_NAME,
    StudyDocument,
    add_document,
    json_values,
    new_folder,
    stored_references,
)
from napari_singlestrip.study.folder import StudyFolder
from napari_singlestrip.study.found_scans import find_scan_files, scan_entries
from napari_singlestrip.study.masks import StudyMasks
from napari_singlestrip.study.references import StudyReferences
from napari_singlestrip.study.rounds import StudyRounds
from napari_singlestrip.study.scans import StudyScans
from napari_singlestrip.study.tables import now
from napari_singlestrip.vocabulary import StudyPart


class Study:
    """A study folder; make one with `Study.create`, open one with `Study.open`.

    Only the content of study.json is kept in memory, so changes by a worker or another window are
    seen at the next access. Changes are atomic and applied to the current state on disk, by one
    program at a time. Nothing is ever written outside the folder.

    Attributes
    ----------
    scans : StudyScans
        The scans and their files.
    references : StudyReferences
        Reference masks, for evaluation only.
    rounds : StudyRounds
        Predicted masks and scores of each round.
    masks : StudyMasks
        Painted and corrected masks.
    decisions : StudyDecisions
        Decisions about the masks.
    """

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder
        self.scans = StudyScans(self._folder)
        self.references = StudyReferences(self._folder, self.scans)
        self.rounds = StudyRounds(self._folder, self.scans)
        self.masks = StudyMasks(self._folder, self.scans)
        self.decisions = StudyDecisions(self._folder, self.scans, self.masks, self.rounds)

    @classmethod
    def create(
        cls,
        folder: str | Path,
        scans: Sequence[str | Path],
        masks: Mapping[str, str | Path] | None = None,
        references: str | Path | None = None,
        effort: str = "quick",
        overrides: Mapping[str, Any] | None = None,
    ) -> Study:
        """Create a study folder, completely or not at all, even if the program is killed.

        Parameters
        ----------
        folder : str or Path
            A folder that does not exist or is empty.
        scans : sequence of str or Path
            Scan files, or folders of them.
        masks : mapping of str to path, optional
            Painted masks: scan name to mask file, each on the grid of its scan.
        references : str or Path, optional
            Folder of reference masks, for evaluation only.
        effort : {"quick", "standard", "thorough"}
            The preset of the settings.
        overrides : mapping of str to Any, optional
            Dotted setting names to values.

        Raises
        ------
        UserError
            If the folder is in use, there are no scans, two cannot be told apart by name and
            folders, a mask does not fit its scan, or a setting is invalid.
        """
        folder = new_folder(Path(folder))
        settings_for(cast(Effort, effort), overrides)
        files = find_scan_files(scans, (masks or {}).values())
        document = StudyDocument(
            created=now(),
            scans=scan_entries(files, folder, "pool"),
            effort=effort,
            overrides=json_values(overrides or {}),
            references=stored_references(references, folder),
        )
        study = cls(StudyFolder(folder, document))
        study._make({study.scans.entry(name).name: Path(f) for name, f in (masks or {}).items()})
        return study

    @classmethod
    def open(cls, folder: str | Path) -> Study:
        """Open a study folder.

        Raises
        ------
        UserError
            If it is not a study, or study.json is damaged or from a newer version.
        """
        folder = Path(os.path.abspath(Path(folder).expanduser()))
        if folder.name == DOCUMENT_NAME:
            folder = folder.parent
        if is_pending(folder):  # a program was killed during a change, or is still at it
            with exclusive(folder / DOCUMENT_NAME):
                finish_change(folder)
        return cls(StudyFolder.open(folder))

    @property
    def folder(self) -> Path:
        """Absolute path of the study folder."""
        return self._folder.path

    @property
    def name(self) -> str:
        """Name of the study: that of its folder."""
        return self._folder.name

    @property
    def changed(self) -> SignalInstance:
        """Emitted after a change, with the `StudyPart` that changed (see `StudyFolder`)."""
        return self._folder.changed

    def follow(self) -> None:
        """Look whether another program changed the study since the last look, and tell it.

        Raises
        ------
        UserError
            If study.json is damaged or gone; the study stays as it was known.
        """
        self._folder.follow()

    def reload(self) -> None:
        """Read study.json again, after another program may have written it."""
        self._folder.reload()

    # --- settings

    @property
    def effort(self) -> str:
        """The effort: quick, standard or thorough."""
        return self._folder.document.effort

    @property
    def overrides(self) -> dict[str, Any]:
        """Settings that differ from those of the effort (a copy)."""
        return dict(self._folder.document.overrides)

    def settings(
        self,
        effort: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> Settings:
        """Return the study's settings, with changes for one run on top.

        Raises
        ------
        UserError
            If a setting is unknown or out of range, or a newer version stored one.
        """
        known = set(setting_names())
        for name in self.overrides.keys() - known:
            raise FromNewerVersion(self.folder / DOCUMENT_NAME, f"setting {name}")
        changes = {**self.overrides, **(overrides or {})}
        if seed is not None:
            changes["seed"] = seed
        return settings_for(cast(Effort, effort or self.effort), changes)

    def set_settings(
        self, overrides: Mapping[str, Any] | None = None, effort: str | None = None
    ) -> Settings:
        """Replace the overrides, the effort or both, and return the resulting settings.

        Raises
        ------
        UserError
            If a setting is unknown or out of range; nothing is then changed.
        """
        with self._folder.changing(document=True):
            new_effort = self.effort if effort is None else effort
            new_overrides = json_values(self.overrides if overrides is None else overrides)
            settings = settings_for(cast(Effort, new_effort), new_overrides)
            self._folder.write_document(effort=new_effort, overrides=new_overrides)
        self.changed.emit(StudyPart.SETTINGS)
        return settings

    def _make(self, masks: Mapping[str, Path]) -> None:
        """Write a new study with its painted masks, study.json last."""
        arrays = {name: self.masks.load(name, file) for name, file in masks.items()}
        sources = {name: os.path.abspath(file) for name, file in masks.items()}
        there = self.folder.exists()
        try:
            with exclusive(self.folder / DOCUMENT_NAME):
                new_folder(self.folder)  # again, since another program may have been faster
                drop_change(self.folder)
                with change_together(self.folder) as change:
                    self.masks.stage_first(change, arrays, sources)
                    add_document(change, self.folder, self._folder.document)
        except BaseException:
            if not there:
                remove_if_empty(self.folder)
            raise
        keep_sources(self.folder, self.scans)
