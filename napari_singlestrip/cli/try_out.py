"""Commands to try everything on simulated heads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_singlestrip.cli.jobs import run_job
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


FOLDER, GUIDED = Path("singlestrip-demo"), Path("singlestrip-guided-demo")


def demo(
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder for the demo's files "
                     "[singlestrip-demo; with --window: singlestrip-guided-demo]."),
    ] = None,
    window: Annotated[
        bool, typer.Option("--window", help="Open the window with a guided tour of the steps.")
    ] = False,
    effort: EffortOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    settings: SetOption = None,
    events: EventsOption = False,
    quiet: QuietOption = False,
) -> None:
    """Demonstrate the whole method on simulated heads, and write report.html.

    Makes heads, "paints" one, trains, predicts and ranks the others, fine-tunes, and evaluates
    everything on unseen heads.

    With --window, napari opens with a guided tour of the steps, which takes about five minutes: you
    paint, and instead of waiting for the training you jump to a finished study of the same heads.

    \b
    Examples:
      singlestrip demo
      singlestrip demo --window
      singlestrip demo --out /tmp/demo --effort standard --device cuda
      singlestrip demo --set training.steps=300       a shorter run
    """
    if window:
        from napari_singlestrip.demo.in_window import guide

        run_job(lambda: guide(out or GUIDED), events, quiet)
    out = out or FOLDER

    def job() -> Iterator[Event]:
        from napari_singlestrip.demo.run import demo as run_demo
        from napari_singlestrip.engine.overrides import parse_assignments

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
    n: Annotated[int, typer.Option("--n", min=1, help="Number of heads.")] = 8,
    spacing: Annotated[
        float, typer.Option("--spacing", metavar="MM", min=0.5, max=10, help="Voxel size.")
    ] = 2.0,
    seed: SeedOption = None,
    finished: Annotated[
        bool,
        typer.Option("--finished", help="Also make studies of twelve heads, trained and tuned."),
    ] = False,
    events: EventsOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make simulated heads with exact masks: DIR/scans and DIR/masks.

    The first is a clean T1w to paint; the others have various contrasts, orientations and slice
    thicknesses. About a quarter are poor scans, as in a real dataset, marked in their names: moved,
    cut, lowfield. With --finished, DIR/finished is a trained study of twelve of them, ready for
    review, and DIR/finetuned the same after a round of fine-tuning; --n, --spacing and --seed are
    then ignored.

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
