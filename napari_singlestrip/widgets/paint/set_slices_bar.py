"""The list of corrected slices, to visit or remove, and the switch for following strokes."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QVBoxLayout, QWidget

from napari_singlestrip.engine.masks.spreading import SetSlice
from napari_singlestrip.widgets.common.controls import Words, button
from napari_singlestrip.widgets.session.correcting import ACROSS, slice_name
from napari_singlestrip.widgets.session.session import Session

NONE_SET = "No slice is set yet: correct one, or press . on one that is right."
OWN = "This mask is your own, so the rest stays as it is until you press W."
ALL, MOST = 12, 10  # slices in the text; beyond ALL, the latest MOST


class SetSlicesBar(QWidget):
    """Visible while there is a mask that can follow.

    Parameters
    ----------
    session : Session
    look_next : callable
        Goes to the slice whose correction would help most.
    """

    def __init__(self, session: Session, look_next: Callable[[], None]) -> None:
        super().__init__()
        self.setObjectName("set_slices_bar")
        self.session = session
        self.live = QCheckBox("Follow while I correct")
        self.live.setObjectName("follow_live")
        self.live.setToolTip(
            "After each stroke the rest of the mask follows the slices you set; those stay as you "
            "set them. Each update is one step of undo. W does it once."
        )
        self.live.toggled.connect(session.correcting.set_live)
        self.right = button("Slice is right  .", "Mark the slice on screen as correct",
                            session.correcting.declare, "declare_slice")
        self.next = button("Where next  ,", "Go to the slice whose correction would help most",
                           look_next, "look_next")
        self.says = Words()
        self.says.setObjectName("set_slices")
        self.says.setTextFormat(Qt.TextFormat.RichText)
        self.says.setOpenExternalLinks(False)
        self.says.linkActivated.connect(self._on_link)
        self._lay_out()
        session.correcting.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show what is set now."""
        correcting = self.session.correcting
        self.setVisible(correcting.has_original)
        self.live.setChecked(correcting.live)
        said = in_words(correcting.slices, correcting.last)
        waits = correcting.live and correcting.own and correcting.slices
        so_far = correcting.so_far
        parts = [said, OWN if waits else "",
                 f"<br><b>Expected Dice</b> {so_far.in_words}." if so_far is not None else ""]
        self.says.setText(" ".join(filter(None, parts)))

    # --- inside

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.live, 1)
        row.addWidget(self.right)
        row.addWidget(self.next)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(row)
        column.addWidget(self.says)

    def _on_link(self, link: str) -> None:
        what, axis, index = link.split(":")
        one = SetSlice(int(axis), int(index))
        if what == "remove":
            self.session.correcting.remove(one)
            return
        viewpoint = self.session.layers.viewpoint
        point = [*viewpoint.point]
        point[one.axis] = one.index
        viewpoint.set_plane(ACROSS[one.axis])
        viewpoint.look_at((point[0], point[1], point[2]))


def in_words(slices: tuple[SetSlice, ...], last: str = "") -> str:
    """The set slices as rich text with links, in the order of the planes; `last` comes after."""
    if not slices:
        return NONE_SET
    shown = slices if len(slices) <= ALL else slices[-MOST:]
    parts = []
    for axis, plane in enumerate(ACROSS):
        links = [_links(s) for s in sorted(shown, key=lambda s: s.index) if s.axis == axis]
        if links:
            parts.append(f"{plane} {', '.join(links)}")
    more = f" and {len(slices) - len(shown)} more" if len(shown) < len(slices) else ""
    return f"<b>Set:</b> {'; '.join(parts)}{more}." + (f" {last}" if last else "")


def _links(one: SetSlice) -> str:
    where, name = f"{one.axis}:{one.index}", slice_name(one)
    return (
        f'<a href="visit:{where}" title="Look at {name}">{one.index}</a>&nbsp;'
        f'<a href="remove:{where}" title="{name} no longer counts" '
        'style="text-decoration: none">\u00d7</a>'
    )
