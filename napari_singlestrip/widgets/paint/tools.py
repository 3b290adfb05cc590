"""The tools for painting and correcting a mask, shared by the paint and review steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.masks import mask_tools
from napari_singlestrip.engine.masks.growing import grow_from_seeds
from napari_singlestrip.engine.masks.mask_tools import Image, Spacing
from napari_singlestrip.widgets.common.controls import button, scroll_to
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.paint.adjust_box import AdjustBox
from napari_singlestrip.widgets.paint.brush_controls import BrushControls
from napari_singlestrip.widgets.paint.following import Following
from napari_singlestrip.widgets.paint.next_look import NextLook
from napari_singlestrip.widgets.paint.set_slices_bar import SetSlicesBar
from napari_singlestrip.widgets.paint.tool_runner import ToolRunner
from napari_singlestrip.widgets.session.session import Session

# A tool computes a new mask from mask and image, axes (I, P, L); it runs in a thread.
Tool = Callable[[Mask, Image, Spacing], Mask]
NOTHING_MISSING = (
    "No slice is missing between painted ones: paint every 8th to 12th slice first."
)


class PaintTools(QWidget):
    """Brush, planes, and the tools that save strokes; each is one step of undo.

    Parameters
    ----------
    session : Session

    Signals
    -------
    busy_changed(str)
        The running tool; empty if none.
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
        self._buttons["adjust"].setCheckable(True)
        self.adjust = AdjustBox(session, self.use)
        self._to_adjust = single_shot(self, 0, lambda: scroll_to(self.adjust))  # once laid out
        self._next_look = NextLook(session, self)
        self.set_slices = SetSlicesBar(session, self.look_next)
        self._lay_out()
        session.scan_changed.connect(self._refresh)
        session.mask_edited.connect(self._refresh)
        self._refresh()

    # --- what keys call too

    def interpolate(self) -> None:
        """Fill the empty slices between painted ones."""
        self.use("Interpolating", self._filling(), self._say_interpolated, NOTHING_MISSING)

    def grow(self) -> None:
        """Grow from what is painted to the border of the brain."""
        self.use("Growing", grow_from_seeds, nothing="Nothing grew: paint some strokes "
                 "inside the brain first, on a few slices.")

    def follow(self) -> None:
        """Propagate the corrected slices to the rest of the mask."""
        self.session.layers.editing.settle()
        following = Following(self.session.correcting, self._filling())

        def say(before: Mask, after: Mask, changed: int) -> str:
            if following.is_from_nothing:
                return self._say_interpolated(before, after, changed)
            following.keep(after)
            return f"{following.said} {self._say_moved(before, after)}"

        def why_nothing() -> str:
            return NOTHING_MISSING if following.is_from_nothing else following.why_nothing

        self.use("Following", following, say, why_nothing)

    def look_next(self) -> None:
        """Go to the slice whose correction would help most, and explain why."""
        self._next_look.go()

    def toggle_adjust(self) -> None:
        """Show or hide the tools with parameters."""
        opened = self.adjust.isHidden()
        self.adjust.setVisible(opened)
        self._buttons["adjust"].setChecked(opened)
        if opened:
            self._to_adjust.start()

    def toggle_range(self) -> None:
        """Paint only in the range of intensities, or at any."""
        self.brush.toggle_range()

    def toggle_outline(self) -> None:
        """Show the mask as an outline, or filled."""
        self.brush.toggle_outline()

    def toggle_3d(self) -> None:
        """Switch between 3D and slices."""
        self.brush.toggle_3d()

    # --- tools

    @property
    def busy(self) -> bool:
        """Whether a tool is running."""
        return bool(self.runner.busy)

    def use(
        self,
        what: str,
        tool: Tool,
        say: Callable[[Mask, Mask, int], str] | None = None,
        nothing: str | Callable[[], str] = "",
        by_program: bool = False,
    ) -> None:
        """Apply a tool to the mask in a thread, as one step of undo.

        Parameters
        ----------
        what : str
            Shown while it runs, such as "Smoothing".
        tool : callable
            (mask, image, spacing) -> mask.
        say : callable, optional
            (mask before, mask after, voxels changed) -> message.
        nothing : str, or callable that returns it
            Message if nothing changed.
        by_program : bool
            Whether the result contains nothing painted by hand.
        """
        layers = self.session.layers
        layers.editing.settle()
        mask = layers.editing.mask_on_display()
        image, now = layers.showing.image_on_display(), layers.showing.now
        if mask is None or image is None or now is None:
            self.session.tell("Choose a scan first.", "warning")
            return

        def take(made: Mask) -> None:
            changed = layers.editing.change(made)
            if changed:
                self.session.tell((say or self._say_changed)(mask, made, changed))
                self.session.correcting.originals.took(made, by_program)
            else:
                why = nothing if isinstance(nothing, str) else nothing()
                self.session.tell(why or f"{what} changed nothing.")

        self.runner.run(what, lambda: tool(mask, image, now.upright.scale), take)

    def close_all(self) -> None:
        """End the thread of the tools, and disconnect from the viewer."""
        self._to_adjust.stop()
        self.runner.close_all()
        self._next_look.close_all()
        self.adjust.close_all()
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
            ("grow", "From seeds  G", "Grow from the strokes inside the brain to its border",
             self.grow),
            ("follow", "Follow  W", "Correct some slices, and the rest of the mask follows them; "
             "those you set stay as they are", self.follow),
            ("keep_largest", "Keep largest", "Keep the largest piece, erase the others",
             self._keep_largest),
            ("fill_holes", "Fill holes", "Fill cavities that are closed on all sides",
             self._fill_holes),
            ("copy_slice", "Copy slice", "Copy the nearest painted slice onto this one",
             self._copy_slice),
            ("undo", "Undo  Ctrl+Z", "Undo the last stroke or tool", layers.editing.undo),
            ("adjust", "Adjust ...  Y", "Margin and smoothing in mm, small pieces, threshold, "
             "another mask: each with a preview", self.toggle_adjust),
            ("redo", "Redo", "Redo what was undone  (Ctrl+Shift+Z)", layers.editing.redo),
        )

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setSpacing(4)
        rows = (
            ("interpolate", "grow", "follow"), ("keep_largest", "fill_holes", "copy_slice"),
            ("undo", "redo", "adjust"),
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
        column.addWidget(self.set_slices)
        column.addWidget(self.adjust)
        column.addWidget(self.busy_hint)
        self.busy_hint.hide()

    def _refresh(self, *_: object) -> None:
        shown = bool(self.session.scan)
        for made in self._buttons.values():
            made.setEnabled(shown and not self.busy)
        self.brush.setEnabled(shown)

    def _on_busy(self, what: str) -> None:
        self.session.correcting.hold(bool(what))
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

    def _filling(self) -> Tool:
        preferred = self._axis()

        def fill(mask: Mask, image: Image, spacing: Spacing) -> Mask:
            axis = mask_tools.axis_with_gaps(mask, preferred)
            return mask if axis is None else mask_tools.interpolate_slices(mask, axis, spacing)

        return fill

    def _keep_largest(self) -> None:
        self.use("Keeping the largest piece", lambda m, _i, _s: mask_tools.keep_largest(m),
                 self._say_kept, nothing="The mask already is one piece.")

    def _say_kept(self, before: Mask, after: Mask, changed: int) -> str:
        """Report what was removed: unfilled outlines count as pieces too."""
        axis = mask_tools.axis_with_gaps(before, self._axis())
        if axis is None:
            return self._say_changed(before, after, changed)
        slices = (mask_tools.painted_slices(mask, axis).size for mask in (before, after))
        return (
            f"Of {next(slices)} painted slices {next(slices)} are left: the others were pieces of "
            "their own. Ctrl+Z restores them; I fills between outlines."
        )

    def _fill_holes(self) -> None:
        self.use("Filling holes", lambda m, _i, _s: mask_tools.fill_holes(m),
                 nothing="There are no holes.")

    def _copy_slice(self) -> None:
        axis = self._axis()
        here = self.session.layers.viewpoint.point[axis]
        self.use("Copying", lambda m, _i, _s: mask_tools.copy_slice(m, axis, here),
                 nothing="There is no other painted slice to copy.")

    def _say_interpolated(self, before: Mask, after: Mask, changed: int) -> str:
        axis = mask_tools.axis_with_gaps(before, self._axis())
        assert axis is not None
        painted = len(mask_tools.painted_slices(before, axis))
        filled = len(mask_tools.painted_slices(after, axis)) - painted
        # There is no preview, so the other planes highlight the new slices.
        self.session.filled.emit(after & ~before)
        return f"Filled {filled} slices between {painted} painted ones. Undo: Ctrl+Z."

    def _say_changed(self, before: Mask, after: Mask, changed: int) -> str:
        now = self.session.layers.showing.now
        assert now is not None
        ml = (int(after.sum()) - int(before.sum())) * now.scan.grid.voxel_ml
        return f"{changed} voxels changed ({ml:+.1f} mL). Ctrl+Z undoes it."

    def _say_moved(self, before: Mask, after: Mask) -> str:
        """Report additions and removals separately, as they could cancel out."""
        now = self.session.layers.showing.now
        assert now is not None
        came, went = (int(np.count_nonzero(m)) for m in (after & ~before, before & ~after))
        ml = now.scan.grid.voxel_ml
        return (f"{came + went:,} voxels changed elsewhere (+{came * ml:.1f} / "
                f"\u2212{went * ml:.1f} mL). Ctrl+Z undoes it.")
