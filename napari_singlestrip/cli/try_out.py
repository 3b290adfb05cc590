"""Commands to try everything on heads that are made up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_singlestrip.cli.jobs import (
    run_job,
)
from napari_singlestrip.cli.options import (
    DeviceOption,
    EffortOption,
    EventsOption,
    QuietOption,
    SeedOption,
    SetOption,
)

if TYPE_CHECKING:
    from napari_singlestrip.events import Event


def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the demo's files.")
    ] = Path("singlestrip-demo"),
    effort: EffortOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    settings: SetOption = None,
    events: EventsOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show the whole method on made-up heads, and write report.html.

    Makes heads, "paints" one, trains, predicts and ranks the others, fine-tunes, and measures
    everything on heads that were never seen.

    \b
    Examples:
      singlestrip demo
      singlestrip demo --out /tmp/demo --effort standard --device cuda
      singlestrip demo --set training.steps=300       a shorter look
    """

    def job() -> Iterator[Event]:
        from napari_singlestrip.demo.run import demo as run_demo
        from napari_singlestrip.engine.config import parse_assignments

        overrides = parse_assignments(settings or [])
        yield from run_demo(
            out, effort=effort or "quick", device=device, seed=seed or 0, overrides=overrides
        )

    def show() -> None:
        from napari_singlestrip.cli.output import show_demo

        show_demo(out)

    run_job(job, events, quiet, after=show)


def samples(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the heads.")],
    n: Annotated[int, typer.Option("--n", min=1, help="How many heads.")] = 8,
    spacing: Annotated[
        float, typer.Option("--spacing", metavar="MM", min=0.5, max=10, help="Voxel size.")
    ] = 2.0,
    seed: SeedOption = None,
    finished: Annotated[
        bool,
        typer.Option("--finished", help="Also a study of twelve such heads that is trained."),
    ] = False,
    events: EventsOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make heads of people who do not exist, with exact masks: DIR/scans and DIR/masks.

    The first is a clean T1w to paint; the others have other contrasts, orientations and slices.
    With --finished, DIR/finished is a study of twelve of them to review at once; --n, --spacing and
    --seed then do not count.

    \b
    Examples:
      singlestrip samples my_heads
      singlestrip samples my_heads --n 20 --seed 7
      singlestrip samples my_heads --finished
    """

    def job() -> Iterator[Event]:
        from napari_singlestrip.sample_data.making import make_finished, make_samples

        if finished:
            yield from make_finished(out)
        else:
            yield from make_samples(out, n, seed=seed or 0, spacing_mm=spacing)

    run_job(job, events, quiet)
