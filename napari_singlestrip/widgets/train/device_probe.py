"""Name of the training device, found once by a process that may import torch."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QObject, QProcess, Signal

from napari_singlestrip.widgets.session.job_process import full_command, job_process
from napari_singlestrip.widgets.session.process_end import kill

_known: dict[tuple[str, ...], str] = {}  # by launcher, for as long as this program runs


class DeviceProbe(QObject):
    """Runs ``singlestrip doctor`` in the background and parses the device.

    Signals
    -------
    found(str)
        The name of the device; empty if it could not be determined.
    """

    found = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._process: QProcess | None = None
        self._launcher: tuple[str, ...] = ()
        self._closed = False

    def known(self, launcher: Sequence[str]) -> str | None:
        """Return the cached result; None if it was not requested."""
        return _known.get(tuple(launcher))

    def ask(self, launcher: Sequence[str]) -> None:
        """Start the probe, unless it is known or running."""
        if self._closed or self._process is not None or tuple(launcher) in _known:
            return
        self._launcher = tuple(launcher)
        program, *arguments = full_command(["doctor"], launcher)
        process = self._process = job_process(self, launcher)
        process.finished.connect(self._read)
        process.errorOccurred.connect(self._failed)
        process.start(program, arguments)

    def close(self) -> None:
        """Stop probing for good, as the panel may still be refreshed."""
        self._closed = True
        process, self._process = self._process, None
        if process is not None:
            process.blockSignals(True)
            kill(process)
            process.deleteLater()

    def _read(self) -> None:
        if self._process is None:
            return
        text = bytes(self._process.readAllStandardOutput().data()).decode(errors="replace")
        self._tell(device_of(text))

    def _failed(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._tell("")

    def _tell(self, device: str) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.deleteLater()
        _known[self._launcher] = device
        self.found.emit(device)


def device_of(text: str) -> str:
    """Find the device in the output of ``singlestrip doctor``; empty if missing."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "device":
            return value.strip()
    return ""
