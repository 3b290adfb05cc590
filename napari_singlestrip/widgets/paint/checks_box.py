"""Checks of the mask on screen, run in a thread after each stroke."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGroupBox, QLabel, QVBoxLayout

from napari_singlestrip.engine.masks.mask_checks import MaskChecks, check_mask
from napari_singlestrip.texts import counted
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.paint.tool_runner import ToolRunner
from napari_singlestrip.widgets.session.session import Session

DELAY_MS = 900  # after the mask has followed a stroke: both at once take three times as long
GOOD, WARNING = "\u2713", "!"
NOTHING, LOOKING = "Nothing is painted yet.", "..."


class ChecksBox(QGroupBox):
    """Pieces, holes, volume, edge and missing slices of the mask on screen.

    Parameters
    ----------
    session : Session

    Signals
    -------
    checked(MaskChecks or None)
        None if no scan is on screen.
    """

    checked = Signal(object)

    def __init__(self, session: Session) -> None:
        super().__init__("Checks")
        self.session = session
        self.setObjectName("checks")
        self.setToolTip("What to check before training; updated after each stroke")
        self.lines = QLabel()
        self.lines.setObjectName("check_lines")
        self.lines.setWordWrap(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 4, 8, 4)
        column.addWidget(self.lines)
        self._runner = ToolRunner(session, self, tell=False)
        self._timer = single_shot(self, DELAY_MS, self.check)
        session.mask_edited.connect(self.check_soon)
        session.scan_changed.connect(self._on_scan)

    def check_soon(self, *_: object) -> None:
        """Check after a pause."""
        if self.isVisible():
            self._timer.start()

    def check(self) -> None:
        """Check the mask on screen, in a thread."""
        layers = self.session.layers
        mask, now = layers.editing.mask_on_scan(), layers.showing.now
        if mask is None or now is None:
            self._show(None)
            return
        axis = now.upright.source_axes[layers.viewpoint.axes[0]]
        grid = now.scan.grid
        if not self._runner.run("Checks", lambda: check_mask(mask, grid, axis), self._show):
            self._timer.start()

    def showEvent(self, event: object) -> None:
        """Update after painting in another step."""
        super().showEvent(event)  # type: ignore[arg-type]
        self._timer.start()

    def close_all(self) -> None:
        """End timer and thread."""
        self._timer.stop()
        self._runner.close_all()

    def _on_scan(self, *_: object) -> None:
        """Grey what is true of the scan before; its lines stay, so that nothing below moves."""
        now = self.session.layers.showing.now
        empty = now is not None and not now.mask.any()
        if empty or self.lines.text() in ("", NOTHING):
            self.lines.setText(NOTHING if empty else LOOKING)
        self.lines.setEnabled(empty)
        self.check_soon()

    def _show(self, checks: MaskChecks | None) -> None:
        self.lines.setText("" if checks is None else "\n".join(in_words(checks)))
        self.lines.setEnabled(True)
        self.checked.emit(checks)


def in_words(checks: MaskChecks) -> list[str]:
    """The checks as text, each with a tick or a warning sign."""
    report = checks.report
    if report.pieces == 0:
        return [NOTHING]
    lines = [_pieces(checks)]
    lines.append(_line(report.holes == 0, "no holes",
                       f"{counted(report.holes, 'hole')}: \u201cFill holes\u201d closes them"))
    lines.append(f"{GOOD}  volume {report.volume_ml:.{0 if report.volume_ml >= 10 else 2}f} mL")
    lines.append(_line(not report.touches_border, "inside the image",
                       "touches the edge of the image: is the head cut off there?"))
    if checks.is_flat:
        lines.append(f"{WARNING}  flat: is it painted to both ends of the brain?")
    painted = counted(checks.painted, "painted slice")
    missing = f"{checks.missing} empty between them"
    lines.append(_line(checks.missing == 0, f"{painted}, none missing between them",
                       f"{painted}, {missing}"))
    return lines


def _pieces(checks: MaskChecks) -> str:
    """Describe the pieces, without advising to delete anything painted on purpose."""
    n = checks.report.pieces
    if checks.is_outlined:
        slices = counted(checks.painted, "outlined slice")
        return f"{WARNING}  {slices}: press I to fill between them"
    if checks.missing:  # the next outline, the other hemisphere, or an accidental stroke?
        return (f"{WARNING}  {n} pieces, empty slices between: press I if brain lies between "
                "them, else erase what is none")
    if n == 1:
        return f"{GOOD}  one piece"
    if checks.has_specks:
        return f"{WARNING}  {n} pieces, all but one tiny: \u201cKeep largest\u201d leaves one"
    beside = checks.report.volume_ml * checks.beside_share
    return (
        f"{WARNING}  {n} pieces, {beside:.{0 if beside >= 10 else 2}f} mL beside the largest: join "
        "them, or erase what is not brain"
    )


def _line(good: bool, yes: str, no: str) -> str:
    return f"{GOOD}  {yes}" if good else f"{WARNING}  {no}"
