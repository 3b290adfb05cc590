"""Sections about the training: settings, label maps, synthetic images, curves, masks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from napari_singlestrip.report.charts import Series, line_chart
from napari_singlestrip.report.content import Content, Round
from napari_singlestrip.report.page import Html, element, facts, figure, image, section, table
from napari_singlestrip.report.pictures import HeadView, stored_png
from napari_singlestrip.study.other_masks import programs_of
from napari_singlestrip.study.round_facts import newest_trained_round
from napari_singlestrip.study.round_folder import first_round
from napari_singlestrip.study.study import Study
from napari_singlestrip.vocabulary import SEGMENTER_STAGES

MAX_WORD = 500  # characters
STAGE_NAMES = {"train": "training", "finetune": "fine-tuning", "autoencoder": "autoencoder"}


def what_was_done(content: Content) -> Html:
    """Data, settings, versions and device of the training."""
    study = content.study
    entries = [entry for entry in study.scans if entry.role == "pool"]
    first = content.rounds[0].run if content.rounds else {}
    settings: dict[str, Any] = first.get("settings", {})
    pairs = {
        "scans": len(entries),
        "masks made by hand": len(study.masks.names()),
        "rounds of fine-tuning": max((r.number for r in content.rounds), default=0),
        "effort": settings.get("effort", study.effort),
        "voxel size (mm)": _of(settings, "conform", "spacing_mm"),
        "training steps": _of(settings, "training", "steps"),
        "fine-tuning steps": _of(settings, "finetuning", "steps"),
        "share of further steps on refreshed labels": _of(
            settings, "finetuning", "refresh_fraction"
        ),
        "autoencoder steps": _of(settings, "autoencoder", "steps"),
        "seed": settings.get("seed"),
        "device": first.get("device"),
        "napari-singlestrip": first.get("version"),
        "Python": first.get("python"),
    }
    return section(
        "What was done",
        facts(pairs),
        *_changed(study.overrides),
        *(_all_settings(r) for r in content.rounds if r.run),
        hint=f"{_method(study)} Reference masks, if any, were only used for evaluation.",
    )


def _method(study: Study) -> str:
    """The method in a few sentences; it differs where masks of other programs were judged."""
    if not first_round(study):
        return (
            "A network was trained to segment the brain on synthetic images, made from the label "
            "maps of the scans with a mask made by hand. It then predicted masks of all other "
            "scans. An autoencoder trained on brain masks ranked them, and the network was "
            "fine-tuned on the best."
        )
    judged = (
        f"Brain masks of other programs ({', '.join(programs_of(study))}) were ranked by an "
        "autoencoder that had learned from masks known to be good."
    )
    trained = newest_trained_round(study) is not None
    return judged + " A network was then trained on the best." * trained


def label_maps(content: Content) -> Html | None:
    """Show the painted brain and its label maps."""
    pieces = []
    painted = next(iter(content.study.masks.names()), None)
    if painted is not None:
        shown = content.attempt(lambda: _painted(content, painted))
        pieces += [figure(shown, f"{painted} with its mask.")] if shown else []
    maps = _preview(content, "label_maps.png", "Label maps")
    if maps:
        pieces.append(figure(maps, "Its label maps, from few labels to many."))
    if not pieces:
        return None
    return section(
        "The painted brain and its label maps", *pieces,
        hint="Intensities inside and outside the mask are grouped, without any knowledge of "
        "anatomy. Synthetic images get their shapes from these maps, and random intensities.",
    )


def synthetic_heads(content: Content) -> Html | None:
    """Show samples of the training images."""
    picture = _preview(content, "synthetic.png", "Synthetic images")
    if not picture:
        return None
    return section(
        "Synthetic images", figure(picture),
        hint="Examples of the images that the network was trained on, the brain outlined. They "
        "are deliberately unrealistic: what is learned must not depend on contrast, "
        "noise, position or field of view.",
    )


def curves(content: Content) -> Html | None:
    """Show loss and validation."""
    charts = [_loss_chart(content), _dice_chart(content), _autoencoder_chart(content)]
    found = [figure(chart) for chart in charts if chart]
    if not found:
        return None
    return section(
        "Learning curves", element("div", *found, class_="charts"),
        hint="Dice is the overlap of two masks: 1 is perfect. It is measured on synthetic heads "
        "that are not used in training, and on the scans whose masks were made by hand.",
    )


def provenance(content: Content) -> Html | None:
    """List the training masks of each round."""
    rows = [
        (
            round_.number, mask.get("scan"), mask.get("kind"), mask.get("round"), mask.get("rank"),
            mask.get("autoencoder_error"), mask.get("weight"),
        )
        for round_ in content.rounds
        for mask in round_.training_set
    ]
    if not rows:
        return None
    header = (
        "round", "scan", "kind", "predicted in round", "rank then", "autoencoder error", "weight"
    )
    return section(
        "Training masks", table(header, rows),
        hint="Every mask on which a model of this study was trained. Rejected masks are never "
        "among them, nor are reference masks.",
    )


def _of(settings: Mapping[str, Any], part: str, name: str) -> object:
    found = settings.get(part)
    value = found.get(name) if isinstance(found, dict) else None
    return None if value is None else _word(value)


def _changed(overrides: Mapping[str, Any]) -> list[Html]:
    if not overrides:
        return []
    words = ", ".join(f"{name} = {_word(value)}" for name, value in sorted(overrides.items()))
    return [element("p", "Changed settings: ", words)]


def _all_settings(round_: Round) -> Html:
    flat: dict[str, object] = {}
    for name, value in round_.run.get("settings", {}).items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        flat |= {f"{name}.{part}".rstrip("."): _word(v) for part, v in parts}
    where = f"{round_.run.get('device', '')}, version {round_.run.get('version', '')}"
    return element(
        "details",
        element("summary", f"All settings of round {round_.number} ({where})"),
        table(("setting", "value"), flat.items()),
    )


def _word(value: object) -> object:
    """Show settings as written, not rounded, and truncated if very long."""
    return f"{value:g}" if isinstance(value, float) else str(value)[:MAX_WORD]


def _painted(content: Content, name: str) -> Html:
    mask = content.study.masks.path(name)
    view = HeadView(content.study.scans.path(name), through=mask)
    return image(view.with_masks(mask), f"{name} with its painted mask")


def _preview(content: Content, name: str, alt: str) -> Html | None:
    """The preview of the first round that has it, which shows the painted scan."""
    for round_ in content.rounds:
        path: Path = round_.folder.previews / name
        if path.is_file():
            return content.attempt(partial(_stored, path, alt))
    return None


def _stored(path: Path, alt: str) -> Html:
    return image(stored_png(path), alt)


def _loss_chart(content: Content) -> Html | None:
    series = [
        Series(f"round {r.number}: {STAGE_NAMES[stage]}", points, colour=r.number)
        for r in content.rounds
        for stage in SEGMENTER_STAGES
        if (points := _points(r, stage, "loss"))
    ]
    return line_chart("Loss of the network", series, ("step", "loss")) if series else None


def _dice_chart(content: Content) -> Html | None:
    kinds = {"validation_dice": "synthetic images", "painted_dice": "scans with a mask by hand"}
    series = [
        Series(f"round {r.number}: {words}", points, key == "painted_dice", r.number)
        for r in content.rounds
        for stage in SEGMENTER_STAGES
        for key, words in kinds.items()
        if (points := _points(r, stage, key))
    ]
    return line_chart("Dice during training", series, ("step", "Dice")) if series else None


def _autoencoder_chart(content: Content) -> Html | None:
    keys = {"loss": "loss", "validation_dice": "Dice of reconstructed masks"}
    series = [
        Series(words, points, colour=n)
        for r in content.rounds
        for n, (key, words) in enumerate(keys.items())
        if (points := _points(r, "autoencoder", key))
    ]
    return line_chart("Autoencoder", series, ("step", "loss, Dice")) if series else None


def _points(round_: Round, stage: str, key: str) -> list[tuple[float, float]]:
    return [
        (float(m["step"]), float(m[key]))
        for m in round_.metrics if m["stage"] == stage and key in m
    ]
