"""What the step "apply" shows: one snapshot, made of what is chosen, what is there and the job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from napari_singlestrip.study.volumes_table import AppliedRow
from napari_singlestrip.texts import counted

if TYPE_CHECKING:
    from napari_singlestrip.widgets.apply.model_list import ModelChoice
    from napari_singlestrip.widgets.session.job_process import JobStatus

NO_RESULTS = "Results appear here, scan by scan, with a flag on those to inspect."
NOT_UP = (
    " The orientation of this head is not known; assumed are: first axis from the top of "
    "the head down, second from the nose back, third from the patient's right to left."
)
LONGEST_NAME = 28  # of a layer, on a button


@dataclass(frozen=True)
class LayerFacts:
    """A layer of napari that is to be stripped.

    Attributes
    ----------
    name : str
    knows_up : bool
        Whether something says which way up the head is.
    said : str
        What became of it, as rich text; empty before.
    busy : bool
        Whether it is being stripped.
    """

    name: str
    knows_up: bool = True
    said: str = ""
    busy: bool = False


@dataclass(frozen=True)
class ResultsFacts:
    """A folder of results.

    Attributes
    ----------
    folder : Path or None
    rows : tuple of AppliedRow
        What is done by now.
    n_asked : int
        Scans that the job was given.
    was_read : bool
        Whether there was a look at the folder since the job began.
    n_earlier : int
        Folders of results in this study.
    selected : AppliedRow or None
    on_screen : bool
        Whether a result is shown.
    """

    folder: Path | None = None
    rows: tuple[AppliedRow, ...] = ()
    n_asked: int = 0
    was_read: bool = False
    n_earlier: int = 0
    selected: AppliedRow | None = None
    on_screen: bool = False


@dataclass(frozen=True)
class ApplyFacts:
    """What is there, and what a person chose.

    Attributes
    ----------
    has_study, has_masks, has_report : bool
        Whether a study is open, with masks to be written, and a report to be opened.
    n_models : int
    model : ModelChoice or None
        The chosen one.
    n_scans : int
        Chosen to be stripped.
    out : Path or None
        Where results will go.
    out_is_used : bool
        Whether there are results already.
    layer : LayerFacts or None
        In the place of files.
    results : ResultsFacts
    """

    has_study: bool = False
    has_masks: bool = False
    has_report: bool = False
    n_models: int = 0
    model: ModelChoice | None = None
    n_scans: int = 0
    out: Path | None = None
    out_is_used: bool = False
    layer: LayerFacts | None = None
    results: ResultsFacts = field(default_factory=ResultsFacts)


@dataclass(frozen=True)
class LayerView:
    """The box that strips a layer."""

    text: str
    button: str
    strip_enabled: bool
    back_enabled: bool


@dataclass(frozen=True)
class ResultsView:
    """The table of results and its buttons.

    Attributes
    ----------
    summary : str
    table_visible : bool
        And its buttons.
    earlier_visible, earlier_enabled : bool
        Of the list of folders.
    see_enabled, in_3d_enabled, correct_enabled : bool
    """

    summary: str
    table_visible: bool
    earlier_visible: bool
    earlier_enabled: bool
    see_enabled: bool
    in_3d_enabled: bool
    correct_enabled: bool


@dataclass(frozen=True)
class ExportView:
    """Which buttons that write files for others can be pressed."""

    masks: bool
    model: bool
    report: bool
    open_report: bool


@dataclass(frozen=True)
class ApplyView:
    """All that the step shows which follows from its facts and the job.

    Attributes
    ----------
    any_model : bool
        Else the page says where models come from.
    layer : LayerView or None
        In the place of files and results.
    study_enabled, files_enabled : bool
        Whether scans of the study, and files, can be chosen.
    apply_text : str
    apply_enabled : bool
    out_hint : str
        The folder that results go to unless a person names another.
    out_is_used : bool
    results : ResultsView
    export : ExportView
    """

    any_model: bool
    layer: LayerView | None
    study_enabled: bool
    files_enabled: bool
    apply_text: str
    apply_enabled: bool
    out_hint: str
    out_is_used: bool
    results: ResultsView
    export: ExportView


def apply_view(facts: ApplyFacts, status: JobStatus) -> ApplyView:
    """Make the snapshot.

    Parameters
    ----------
    facts : ApplyFacts
    status : JobStatus
    """
    free, n, out = not status.blocks, facts.n_scans, facts.out
    return ApplyView(
        any_model=facts.n_models > 0,
        layer=_layer(facts.layer, facts.model is not None and free),
        study_enabled=facts.has_study and free,
        files_enabled=free,
        apply_text=f"Apply to {counted(n, 'scan')}" if n else "Apply",
        apply_enabled=facts.n_models > 0 and n > 0 and free,
        out_hint="" if out is None else f"{out.parent.name}/{out.name} (new)",
        out_is_used=facts.out_is_used and free,
        results=results_view(facts.results, facts.has_study, status.blocks),
        export=_export(facts, free),
    )


def results_view(facts: ResultsFacts, has_study: bool, busy: bool) -> ResultsView:
    """Say what is in a folder of results, and what can be done with it.

    Parameters
    ----------
    facts : ResultsFacts
    has_study : bool
        Whether a study is open, to take results into.
    busy : bool
        Whether a job is running.
    """
    row = facts.selected
    there = row is not None and bool(row.file)
    return ResultsView(
        summary=_summary(facts),
        table_visible=bool(facts.rows) or facts.n_asked > 0,
        earlier_visible=facts.n_earlier > 1,
        earlier_enabled=not busy,
        see_enabled=there,
        in_3d_enabled=facts.on_screen or there,
        correct_enabled=row is not None and bool(row.mask) and has_study,
    )


def _summary(facts: ResultsFacts) -> str:
    if facts.folder is None:
        return NO_RESULTS
    if not facts.was_read:
        return f"Results go to {facts.folder.parent.name}/{facts.folder.name}"
    return _in_words(facts.rows, facts.folder, facts.n_asked or len(facts.rows))


def _in_words(rows: Sequence[AppliedRow], folder: Path, n_asked: int) -> str:
    done = sum(bool(row.mask) for row in rows)
    look = sum(bool(row.mask and row.flag) for row in rows)
    failed = sum(not row.mask for row in rows)
    parts = [f"{done} of {n_asked} masks in {folder.parent.name}/{folder.name}"]
    if look:
        parts.append(f"{look} to inspect")
    if failed:
        parts.append(f"{failed} failed")
    return ", ".join(parts) + "."


def _layer(facts: LayerFacts | None, can_start: bool) -> LayerView | None:
    if facts is None:
        return None
    name = facts.name
    short = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME - 2]}…"
    text = facts.said or (
        f"Layer <b>{escape(name)}</b>: the model above finds the brain. The mask becomes a layer "
        f"on the same grid; nothing else is written.{'' if facts.knows_up else NOT_UP}"
    )
    return LayerView(text, f"Strip {short}", can_start and not facts.busy, not facts.busy)


def _export(facts: ApplyFacts, free: bool) -> ExportView:
    of_study = facts.model is not None and facts.model.round is not None
    return ExportView(
        masks=facts.has_masks and free,
        model=of_study and free,
        report=facts.has_study and free,
        open_report=facts.has_report,
    )
