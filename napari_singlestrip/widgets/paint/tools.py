"""The tools for painting and mending a mask: the paint and the review step share them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_singlestrip.engine.masks import mask_tools
from napari_singlestrip.engine.masks.growing import grow_from_seeds
from napari_singlestrip.engine.masks.mask_tools import Image, Mask, Spacing
from napari_singlestrip.widgets.common.controls import button
from napari_singlestrip.widgets.paint.brush_controls import BrushControls
from napari_singlestrip.widgets.paint.following import Following
from napari_singlestrip.widgets.paint.tool_runner import ToolRunner
from napari_singlestrip.widgets.session.session import Session

# A tool makes a new mask from the mask and the picture, axes (I, P, L); it runs in a thread.
Tool = Callable[[Mask, Image, Spacing], Mask]
SMOOTH_VOXELS = 1.5


class PaintTools(QWidget):
    """Brush, planes, and the tools that save strokes; each is one step of undo.

    Parameters
    ----------
    session : Session

    Signals
    -------
    busy_changed(str)
        The tool that is at work; empty when none is.
    """

    busy_changed = Signal(str)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setObjectName("paint_tools")
        self.brush = BrushControls(session)
        self.runner = ToolRunner(session, self)
        self.runner.busy_changed.connect(self._on_busy)
        self.busy_hint = QLabel()
        self.busy_hint.setObjectName("busy_hint")
        self._buttons = self._make_buttons()
        self._lay_out()
        session.scan_changed.connect(self._refresh)
        session.mask_edited.connect(self._refresh)
        self._refresh()

    # --- what keys call too

    def interpolate(self) -> None:
        """Fill the empty slices between painted ones."""
        preferred = self._axis()

        def fill(mask: Mask, image: Image, spacing: Spacing) -> Mask:
            axis = mask_tools.axis_with_gaps(mask, preferred)
            if axis is None:
                return mask
            return mask_tools.interpolate_slices(mask, axis, spacing)

        self.use("Interpolating", fill, self._say_interpolated,
                 "No slice is missing between painted ones: paint every 8th to 12th slice first.")

    def grow(self) -> None:
        """Grow from what is painted to the border of the brain."""
        self.use("Growing", grow_from_seeds, nothing="Nothing grew: paint some strokes "
                 "inside the brain first, on a few slices.")

    def follow(self) -> None:
        """Let the rest of the mask follow the slices that were set right."""
        layers, originals = self.session.layers, self.session.originals
        layers.settle()
        mask = layers.mask_on_display()
        start = None if mask is None else originals.nearest(mask)
        if start is not None and not start.before.bits.any():
            self.interpolate()  # nothing was there that could follow
            return
        following = Following(start, originals.seen)

        def say(before: Mask, after: Mask, changed: int) -> str:
            following.keep(originals, after)
            return f"{following.said} {self._say_moved(before, after)}"

        self.use("Following", following, say, lambda: following.why_nothing)

    def toggle_range(self) -> None:
        """Paint only in the range of intensities, or at any."""
        self.brush.toggle_range()

    def toggle_outline(self) -> None:
        """Show the mask as an outline, or filled."""
        self.brush.toggle_outline()

    def toggle_3d(self) -> None:
        """Look at the head in 3D, or at slices again."""
        self.brush.toggle_3d()

    # --- tools

    @property
    def busy(self) -> bool:
        """Whether a tool is at work."""
        return bool(self.runner.busy)

    def use(
        self,
        what: str,
        tool: Tool,
        say: Callable[[Mask, Mask, int], str] | None = None,
        nothing: str | Callable[[], str] = "",
    ) -> None:
        """Let a tool work on the mask in a thread; what it makes is one step of undo.

        Parameters
        ----------
        what : str
            "Smoothing": said while it runs.
        tool : callable
            (mask, image, spacing) -> mask.
        say : callable, optional
            (mask before, mask after, voxels changed) -> what to tell.
        nothing : str, or callable that returns it
            Told when nothing changed.
        """
        layers = self.session.layers
        layers.settle()
        mask, image, now = layers.mask_on_display(), layers.image_on_display(), layers.now
        if mask is None or image is None or now is None:
            self.session.tell("Choose a scan first.", "warning")
            return

        def take(made: Mask) -> None:
            changed = layers.change_mask(made)
            if changed:
                self.session.tell((say or self._say_changed)(mask, made, changed))
                self.session.originals.took(made)
            else:
                why = nothing if isinstance(nothing, str) else nothing()
                self.session.tell(why or f"{what} changed nothing.")

        self.runner.run(what, lambda: tool(mask, image, now.upright.scale), take)

    def close_all(self) -> None:
        """End the thread of the tools, and let go of the viewer."""
        self.runner.close_all()
        self.brush.close_all()

    # --- inside

    def _make_buttons(self) -> dict[str, QPushButton]:
        return {
            name: button(text, tip, clicked, name) for name, text, tip, clicked in self._table()
        }

    def _table(self) -> tuple[tuple[str, str, str, Callable[[], None]], ...]:
        layers = self.session.layers
        return (
            ("interpolate", "Interpolate  I", "Fill the empty slices between painted ones",
             self.interpolate),
            ("grow", "Grow  G", "Grow from the strokes inside the brain to its border",
             self.grow),
            ("follow", "Follow  W", "Set some slices right, and the rest of the mask follows them; "
             "those you set stay as they are", self.follow),
            ("keep_largest", "Keep largest", "Keep the largest piece, erase the others",
             self._keep_largest),
            ("fill_holes", "Fill holes", "Fill cavities that are closed on all sides",
             self._fill_holes),
            ("smooth", "Smooth", "Smooth the surface; the volume stays the same", self._smooth),
            ("thicker", "+ 1 voxel", "Move the surface out by one voxel", lambda: self._move(1)),
            ("thinner", "\u2212 1 voxel", "Move the surface in by one voxel",
             lambda: self._move(-1)),
            ("copy_slice", "Copy slice", "Copy the nearest painted slice onto this one",
             self._copy_slice),
            ("undo", "Undo  Ctrl+Z", "Take the last stroke or tool back", layers.undo),
            ("redo", "Redo", "Do again what was taken back  (Ctrl+Shift+Z)", layers.redo),
        )

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setSpacing(4)
        rows = (
            ("interpolate", "grow", "follow"), ("keep_largest", "fill_holes", "smooth"),
            ("copy_slice", "thicker", "thinner"), ("undo", "redo"),
        )
        for row, names in enumerate(rows):
            for place, name in enumerate(names):
                width = 6 // len(names)
                grid.addWidget(self._buttons[name], row, place * width, 1, width)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.brush)
        column.addLayout(grid)
        column.addWidget(self.busy_hint)
        self.busy_hint.hide()

    def _refresh(self, *_: object) -> None:
        shown = bool(self.session.scan)
        for made in self._buttons.values():
            made.setEnabled(shown and not self.busy)
        self.brush.setEnabled(shown)

    def _on_busy(self, what: str) -> None:
        self.busy_hint.setText(f"{what} ..." if what else "")
        self.busy_hint.setVisible(bool(what))
        if what:
            self.setCursor(Qt.CursorShape.BusyCursor)
        else:
            self.unsetCursor()
        self._refresh()
        self.busy_changed.emit(what)

    def _axis(self) -> int:
        """Axis across the slices on screen."""
        return self.session.layers.viewpoint.axes[0]

    def _keep_largest(self) -> None:
        self.use("Keeping the largest piece", lambda m, _i, _s: mask_tools.keep_largest(m),
                 self._say_kept, nothing="The mask is one piece already.")

    def _say_kept(self, before: Mask, after: Mask, changed: int) -> str:
        """Say what is gone: outlines that are not filled in yet are pieces too."""
        axis = mask_tools.axis_with_gaps(before, self._axis())
        if axis is None:
            return self._say_changed(before, after, changed)
        slices = (mask_tools.painted_slices(mask, axis).size for mask in (before, after))
        return (
            f"Of {next(slices)} painted slices {next(slices)} are left: the others were pieces of "
            "their own. Ctrl+Z brings them back; I fills between outlines."
        )

    def _fill_holes(self) -> None:
        self.use("Filling holes", lambda m, _i, _s: mask_tools.fill_holes(m),
                 nothing="There are no holes.")

    def _smooth(self) -> None:
        self.use("Smoothing", lambda m, _i, s: mask_tools.smooth(m, s, SMOOTH_VOXELS * min(s)))

    def _move(self, voxels: int) -> None:
        self.use("Moving the surface", lambda m, _i, s: mask_tools.grow(m, s, voxels * min(s)))

    def _copy_slice(self) -> None:
        axis = self._axis()
        here = self.session.layers.point[axis]
        self.use("Copying", lambda m, _i, _s: mask_tools.copy_slice(m, axis, here),
                 nothing="There is no other painted slice to copy.")

    def _say_interpolated(self, before: Mask, after: Mask, changed: int) -> str:
        axis = mask_tools.axis_with_gaps(before, self._axis())
        assert axis is not None
        painted = len(mask_tools.painted_slices(before, axis))
        filled = len(mask_tools.painted_slices(after, axis)) - painted
        # Nothing is asked before. What is new is on slices out of sight: the planes show it.
        self.session.filled.emit(after & ~before)
        return (
            f"Filled {filled} slices between {painted} painted ones, yellow in the other planes "
            "for a moment. Undo: Ctrl+Z."
        )

    def _say_changed(self, before: Mask, after: Mask, changed: int) -> str:
        now = self.session.layers.now
        assert now is not None
        ml = (int(after.sum()) - int(before.sum())) * now.scan.grid.voxel_ml
        return f"{changed} voxels changed ({ml:+.1f} mL). Ctrl+Z takes it back."

    def _say_moved(self, before: Mask, after: Mask) -> str:
        """Say what came and what went: where as much came as went, the sum would say nothing."""
        now = self.session.layers.now
        assert now is not None
        came, went = (int(np.count_nonzero(m)) for m in (after & ~before, before & ~after))
        ml = now.scan.grid.voxel_ml
        return (f"{came + went:,} voxels changed elsewhere (+{came * ml:.1f} / "
                f"\u2212{went * ml:.1f} mL). Ctrl+Z takes it back.")
