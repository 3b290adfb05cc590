"""Ending the processes of the window when it closes."""

from __future__ import annotations

from qtpy.QtCore import QProcess

CLOSE_AFTER_MS = 3_000
DEAD_AFTER_MS = 10_000  # after a kill: a process may be blocked by a slow disk


def kill(process: QProcess) -> None:
    """End a process and wait for it, as Qt must not delete a running one."""
    process.kill()
    process.waitForFinished(DEAD_AFTER_MS)


def ended_itself(process: QProcess) -> bool:
    """Ask a job to end; return whether it did."""
    process.write(b"cancel\n")
    process.waitForBytesWritten(100)
    process.closeWriteChannel()
    if process.state() == QProcess.ProcessState.NotRunning:
        return True
    return bool(process.waitForFinished(CLOSE_AFTER_MS))
