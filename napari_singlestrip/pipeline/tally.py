"""How many scans a job did, and how many failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from napari_singlestrip.events import Event, Finished, Note
from napari_singlestrip.failures import Failure


@dataclass
class Tally:
    """Outcome of the scans of a run.

    Attributes
    ----------
    learned : set of str
        Scans used for training.
    done : set of str
        Scans with the requested results, new or existing.
    failed : dict of (stage, scan) to Failure
        Removed again if the same stage succeeds in a later round.
    """

    learned: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    failed: dict[tuple[str, str], Failure] = field(default_factory=dict)

    def count(self, stage: str, scan: str, failure: Failure | None) -> None:
        """Record the outcome of one scan."""
        self.failed.pop((stage, scan), None)
        if failure is None:
            self.done.add(scan)
        else:
            self.failed[stage, scan] = failure

    def is_hopeless(self, stage: str, scan: str) -> bool:
        """Whether the scan already failed in this run, so that it is not tried twice."""
        found = self.failed.get((stage, scan))
        return found is not None and found.kind != "limit" and found.what != NO_BRAIN

    def watch(self, stage: str, events: Iterable[Event]) -> Iterator[Event]:
        """Pass on events, and count the failures among them."""
        for event in events:
            if isinstance(event, Note) and event.kind:
                self.count(stage, event.scan, Failure(event.kind, event.text))
            yield event

    def finished(self, seconds: float) -> Finished:
        """Return the terminal event of the job.

        Training scans count if no other stage processed any scan.
        """
        failed = {scan for _, scan in self.failed}
        only_learned = not self.done and all(stage == LEARN for stage, _ in self.failed)
        done = (self.learned if only_learned else self.done) - failed
        return Finished(seconds, n_done=len(done), n_failed=len(failed))


LEARN = "learn"
NO_BRAIN = "no brain was found."
