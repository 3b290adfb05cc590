"""Every setting of the method, written once: default, range, unit and help.

The command line (``--set training.steps=500``), the forms of the window and the settings page of
the documentation are derived from these frozen models. One dial, the effort, sets them all;
`settings_for` derives the rest and applies what a person changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_singlestrip.errors import UserError

Effort = Literal["quick", "standard", "thorough"]
EFFORTS: tuple[Effort, ...] = get_args(Effort)
MAX_LABELS = 255  # of a label map, whose voxels are bytes


class Config(BaseModel):
    """Base of all settings: frozen, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ConformConfig(Config):
    """The isotropic RAS grid on which everything is learned."""

    spacing_mm: float = Field(4.0, gt=0, le=20, description="Voxel size for an adult brain (mm)")
    scale_to_brain: bool = Field(
        True,
        description="Scale the voxel size with the painted brain, so that a mouse gets as many "
        "voxels as a man",
    )
    margin: float = Field(
        0.15, ge=0, le=2, description="Room around the painted brain in the training grid "
        "(fraction of the brain's extent on each side)",
    )
    max_voxels: int = Field(
        256**3, ge=32**3, description="Largest grid a scan is predicted on at once (voxels)"
    )


class LabelMapConfig(Config):
    """How intensities of the one labelled scan become the bins that synthesis paints."""

    method: Literal["kmeans", "quantiles", "gmm"] = Field(
        "kmeans", description="Binning rule: k-means, quantiles or Gaussian mixture"
    )
    n_bins: tuple[tuple[int, int], ...] = Field(
        ((2, 4), (3, 3)),
        min_length=1,
        description="Label maps made from a mask: (bins inside, bins outside) of each",
    )
    oversampling: int = Field(
        2, ge=1, le=4, description="Voxels of the label maps per voxel of the training grid"
    )
    denoise: float = Field(
        0.5, ge=0, le=5, description="Gaussian smoothing before binning (SD, voxels)"
    )
    bias_field: float = Field(
        0.35, ge=0, le=2,
        description="Width of the smoothing that estimates the bias field before binning "
        "(fraction of the grid's shortest side; 0 switches it off)",
    )
    supervoxels: int = Field(
        0, ge=0, le=32,
        description="Side of the supervoxels whose means are binned, instead of single voxels "
        "(voxels; 0 switches them off)",
    )
    parts: int = Field(
        1, ge=1, le=8,
        description="Parts of the head in which the same bin is another label (1: none)",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        most = self.parts * max(inside + outside for inside, outside in self.n_bins)
        if most > MAX_LABELS:
            raise ValueError(
                f"{most} labels (bins inside and outside, times parts); at most {MAX_LABELS} fit"
            )
        return self


class SynthesisConfig(Config):
    """Ranges of domain randomisation; each synthetic head is drawn from them."""

    rotation_deg: float = Field(15.0, ge=0, le=180, description="Rotation about each axis (deg)")
    scaling: float = Field(0.2, ge=0, lt=1, description="Scaling of each axis (fraction)")
    shear: float = Field(0.1, ge=0, lt=1, description="Shear (off-diagonal of the affine)")
    translation: float = Field(0.1, ge=0, le=1, description="Shift (fraction of the grid's side)")
    warp_std: float = Field(
        0.035, ge=0, le=0.2,
        description="Largest SD of the stationary velocity field (fraction of the grid's side)",
    )
    warp_grid: tuple[int, int] = Field(
        (3, 8), description="Control points of the velocity field on each side (range)"
    )
    flip: bool = Field(True, description="Mirror left and right in half of the heads")
    intensity_std: float = Field(
        0.08, ge=0, le=1, description="Largest SD of intensities within a label (of the range)"
    )
    tie_probability: float = Field(
        0.5, ge=0, le=1,
        description="Share of heads in which labels on both sides of the mask that look alike in "
        "the scan are painted alike",
    )
    blend: float = Field(
        0.5, ge=0, le=1,
        description="Largest change of a label's intensity from one place of the head to another "
        "(of the range)",
    )
    bias_std: float = Field(0.5, ge=0, le=2, description="Largest SD of the log bias field")
    bias_grid: tuple[int, int] = Field((2, 5), description="Control points of the bias field")
    blur_fwhm: float = Field(2.0, ge=0, le=10, description="Largest blur (FWHM, voxels)")
    thick_slices: float = Field(
        2.5, ge=1, le=16, description="Largest slice thickness (voxels), along a random axis"
    )
    noise_std: float = Field(0.08, ge=0, le=1, description="Largest noise SD (of the range)")
    gamma: float = Field(0.5, ge=0, le=2, description="SD of the log of gamma")
    crop: float = Field(
        0.25, ge=0, le=0.9, description="Largest part of the field of view cut off at one side"
    )
    crop_probability: float = Field(0.3, ge=0, le=1, description="Share of heads that are cropped")
    background_probability: float = Field(
        0.5, ge=0, le=1, description="Share of heads whose background is set to zero"
    )
    shapes_probability: float = Field(
        0.2, ge=0, le=1, description="Share of heads with random shapes in the background"
    )


class NetworkConfig(Config):
    """The segmenter."""

    architecture: Literal["unet", "synthstrip"] = Field(
        "unet", description="A plain U-Net of strided convolutions, or SynthStrip's own shape"
    )
    channels: tuple[int, ...] = Field(
        (16, 32, 64, 128), min_length=2, description="Features of each level"
    )
    norm: Literal["instance", "channel"] = Field(
        "instance",
        description="Normalise features over the picture, or over the channels of each voxel",
    )
    target: Literal["probability", "distance"] = Field(
        "probability", description="What the network predicts: brain probability, or the signed "
        "distance to the brain's surface",
    )

    @property
    def side_multiple(self) -> int:
        """Sides of a picture must be multiples of this (voxels)."""
        return int(2 ** (len(self.channels) - 1))


class TrainingConfig(Config):
    """Training of the segmenter on synthetic heads."""

    steps: int = Field(1800, ge=1, description="Optimiser steps")
    batch_size: int = Field(1, ge=1, le=256, description="Synthetic heads in a step")
    wide_fraction: float = Field(
        0.2, ge=0, le=1, description="Share of steps on a wider window, with more neck and air"
    )
    wide: float = Field(1.5, ge=1, le=3, description="Sides of the wider window, relative")
    real_fraction: float = Field(
        0.8, ge=0, le=1,
        description="Share of steps on the real scans with their masks, where several were painted",
    )
    learning_rate: float = Field(3e-3, gt=0, le=1, description="Peak learning rate")
    weight_decay: float = Field(1e-5, ge=0, le=1, description="AdamW's weight decay")
    warmup: float = Field(0.05, ge=0, le=1, description="Share of the steps of warm-up")
    clip_norm: float = Field(1.0, gt=0, description="Largest norm of the gradient")
    ema: float = Field(
        0.995, ge=0, lt=1, description="Decay of the running average of the weights (0: off)"
    )
    cross_entropy: float = Field(
        0.5, ge=0, le=1, description="Weight of cross entropy beside soft Dice"
    )
    validation_heads: int = Field(4, ge=1, description="Held-out synthetic heads for validation")
    validate_every: int = Field(200, ge=1, description="Steps between validations")
    checkpoint_seconds: float = Field(20.0, gt=0, le=30, description="Time between checkpoints (s)")


class AutoencoderConfig(Config):
    """The convolutional autoencoder that learns what a brain mask looks like."""

    max_side: int = Field(
        32, ge=16, le=256, description="Longest side of the grid of masks it sees (voxels)"
    )
    channels: tuple[int, ...] = Field(
        (16, 32, 64), min_length=2, description="Features of each level; each halves the cube"
    )
    latent: int = Field(32, ge=2, le=1024, description="Numbers a mask is squeezed into")
    corruption_probability: float = Field(
        0.5, ge=0, le=1, description="Share of training masks damaged first (denoising)"
    )
    steps: int = Field(1200, ge=1, description="Optimiser steps")
    batch_size: int = Field(4, ge=1, le=256, description="Masks in a step")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="Peak learning rate")
    rotation_deg: float = Field(10.0, ge=0, le=180, description="Rotation of the mask (deg)")
    scaling: float = Field(0.1, ge=0, lt=1, description="Scaling of the mask (fraction)")
    shear: float = Field(0.05, ge=0, lt=1, description="Shear of the mask")
    translation: float = Field(0.03, ge=0, le=1, description="Shift (fraction of the side)")
    warp_std: float = Field(0.02, ge=0, le=0.2, description="Largest SD of the velocity field")
    centred: bool = Field(
        True,
        description="Look at a mask around its own centre of mass, not around the middle of its "
        "scan",
    )
    each_round: bool = Field(
        True, description="Train it anew in later rounds when there are more masks made by hand"
    )


class PredictionConfig(Config):
    """From a scan to its mask."""

    flip: bool = Field(True, description="Average the prediction with that of the mirrored scan")
    windows: int = Field(
        3, ge=1, le=3, description="Average the predictions of so many windows, a little apart"
    )
    threshold: float = Field(
        0.6, gt=0, lt=1,
        description="Probability above which it is brain; at 0.5 masks come out too large, since "
        "soft Dice is generous where it is unsure",
    )
    pitch_deg: float = Field(
        40.0, ge=0, le=180,
        description="How far a head may be pitched (chin down or up) against the painted one, and "
        "be turned back for the network (deg; 0: never turned)",
    )
    border_mm: float = Field(0.0, ge=-20, le=20, description="Grow (+) or shrink the mask (mm)")
    largest_component: bool = Field(True, description="Keep only the largest piece")
    fill_holes: bool = Field(True, description="Fill holes inside the mask")


class RankingConfig(Config):
    """Scores of predicted masks, and which pseudo-labels are taken."""

    score: Literal["mean", "autoencoder", "consistency"] = Field(
        "mean",
        description="What the ranking is by: the autoencoder's error, agreement under "
        "augmentation, or the mean of that error and of 1 - agreement",
    )
    error: Literal["dice", "mse", "surface"] = Field(
        "dice", description="How a mask and its reconstruction are compared"
    )
    views: int = Field(8, ge=1, le=64, description="Views of a mask that its error is the mean of")
    pitch_deg: float = Field(
        40.0, ge=0, le=180,
        description="How far a mask may be pitched (chin down or up) against the painted one, and "
        "be turned back for the autoencoder (deg; 0: never turned)",
    )
    consistency: bool = Field(True, description="Also measure agreement under augmentation")
    n_augmentations: int = Field(8, ge=2, le=64, description="Augmentations of the consistency")
    select: Literal["top_k", "fraction", "threshold", "varied"] = Field(
        "fraction",
        description="Rule that selects pseudo-labels nobody decided about: the best of all, or "
        "(varied) the best of each group of scans that look alike, as many as fraction says",
    )
    top_k: int = Field(10, ge=1, description="Masks selected by the rule top_k")
    fraction: float = Field(
        0.7, gt=0, le=1, description="Share selected by the rules fraction and varied"
    )
    max_error: float = Field(0.1, ge=0, description="Largest error selected by rule threshold")

    @property
    def measures_consistency(self) -> bool:
        """Whether agreement is asked for, by itself or by the score."""
        return self.consistency or self.score != "autoencoder"

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        if self.score == "mean" and self.error != "dice":
            raise ValueError(
                "ranking.score=mean adds overlaps: it needs ranking.error=dice, or choose "
                "ranking.score=autoencoder"
            )
        return self


class FinetuningConfig(Config):
    """Self-training on painted, corrected, accepted and selected masks."""

    rounds: int = Field(1, ge=0, le=20, description="Rounds of predict, rank, select, train")
    start: Literal["before", "scratch"] = Field(
        "before", description="Learn on from the weights of the round before, or from scratch"
    )
    steps: int = Field(3600, ge=1, description="Optimiser steps of each round")
    learning_rate: float = Field(3e-3, gt=0, le=1, description="Peak learning rate")
    threshold: float = Field(
        0.5, gt=0, lt=1,
        description="Probability above which it is brain after learning on real scans, instead of "
        "prediction.threshold: the network is no longer generous",
    )
    real_fraction: float = Field(
        0.8, ge=0, le=1,
        description="Share of steps on the real scans with their masks, not on synthetic heads",
    )
    pseudo_labels: Literal["auto", "decided", "selected"] = Field(
        "auto",
        description="Beside masks made by hand: only accepted ones (decided), also those selected "
        "by the ranking (selected), or those selected until a person has decided enough (auto)",
    )
    enough: int = Field(
        5, ge=1,
        description="So many masks painted, corrected or accepted are enough without those that "
        "the ranking selects; from fewer the network learns these few scans by heart",
    )
    soft_labels: bool = Field(
        False,
        description="Learn the probability that was predicted, where a pseudo-label was not "
        "corrected, instead of its mask",
    )
    label_maps: int = Field(
        2, ge=1, le=32, description="Label maps made from each mask in fine-tuning"
    )
    trusted_weight: int = Field(
        3, ge=1, le=100,
        description="How many times more often a painted or corrected mask is drawn than a "
        "pseudo-label",
    )


class Settings(Config):
    """All settings of one run; `settings_for` makes them from an effort."""

    effort: Effort = "quick"
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of all randomness")
    conform: ConformConfig = ConformConfig()
    label_map: LabelMapConfig = LabelMapConfig()
    synthesis: SynthesisConfig = SynthesisConfig()
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    autoencoder: AutoencoderConfig = AutoencoderConfig()
    prediction: PredictionConfig = PredictionConfig()
    ranking: RankingConfig = RankingConfig()
    finetuning: FinetuningConfig = FinetuningConfig()

    @model_validator(mode="after")
    def _learnable(self) -> Self:
        if self.finetuning.soft_labels and self.network.target == "distance":
            raise ValueError(
                "finetuning.soft_labels=true are probabilities: they need "
                "network.target=probability"
            )
        return self


# Only what differs from the defaults above, which are those of "quick".
PRESETS: dict[Effort, dict[str, Any]] = {
    "quick": {},
    "standard": {
        "conform.spacing_mm": 2.0,
        "network.channels": (16, 32, 64, 128, 128),
        "training.steps": 6000,
        "training.learning_rate": 2e-3,
        "finetuning.steps": 2000,
        "finetuning.learning_rate": 2e-3,
    },
    "thorough": {
        "conform.spacing_mm": 1.0,
        "label_map.oversampling": 1,
        "network.channels": (16, 32, 64, 128, 128, 128),
        "training.steps": 20000,
        "training.learning_rate": 1e-3,
        "finetuning.steps": 5000,
        "finetuning.learning_rate": 1e-3,
        "autoencoder.max_side": 64,
        "autoencoder.channels": (16, 32, 64, 128),
        "autoencoder.steps": 2000,
    },
}


def setting_names(model: type[Config] = Settings, prefix: str = "") -> list[str]:
    """Dotted names of all settings, such as ``training.steps``."""
    names: list[str] = []
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, Config):
            names += setting_names(kind, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names


def settings_for(
    effort: Effort = "quick", overrides: Mapping[str, Any] | None = None, *, seed: int | None = None
) -> Settings:
    """Make the settings of an effort, changed by what a person set.

    Parameters
    ----------
    effort : {"quick", "standard", "thorough"}
        The one dial.
    overrides : mapping of str to Any, optional
        Dotted setting names to values (text is read as JSON where that fits).
    seed : int, optional
        Seed of all randomness.

    Raises
    ------
    UserError
        If the effort or a setting is unknown, or a value is out of range.
    """
    if effort not in EFFORTS:
        raise UserError(f"Unknown effort {effort!r}.", f"Choose one of: {', '.join(EFFORTS)}.")
    changes = {**PRESETS[effort], **_seed(seed), **(overrides or {})}
    return override(Settings(effort=effort), changes)


def override(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """Return `settings` with dotted names set to new values, validated.

    Raises
    ------
    UserError
        If a name is unknown or a value is out of range.
    """
    tree = settings.model_dump()
    known = setting_names()
    for name, value in changes.items():
        if name not in known:
            raise UserError(f"Unknown setting {name!r}.", _did_you_mean(name, known))
        *groups, leaf = name.split(".")
        node = tree
        for group in groups:
            node = node[group]
        node[leaf] = _read(value)
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(str(part) for part in problem["loc"])
        raise UserError(
            f"Setting {name} cannot be {problem['input']!r}: {problem['msg']}.",
            "Choose a value in its range (`singlestrip run --help`).",
        ) from error


def parse_assignments(assignments: list[str]) -> dict[str, str]:
    """Split ``["training.steps=500"]`` into names and values.

    Raises
    ------
    UserError
        If an entry has no equals sign.
    """
    pairs: dict[str, str] = {}
    for text in assignments:
        name, sign, value = text.partition("=")
        if not sign:
            raise UserError(f"Cannot read --set {text!r}.", "Write it as NAME=VALUE.")
        pairs[name.strip()] = value.strip()
    return pairs


def _seed(seed: int | None) -> dict[str, Any]:
    return {} if seed is None else {"seed": seed}


def _read(value: Any) -> Any:
    import json

    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return {"True": True, "False": False}.get(value, value)


def _did_you_mean(name: str, known: list[str]) -> str:
    import difflib

    leaf_matches = [k for k in known if k.split(".")[-1] == name.split(".")[-1]]
    close = leaf_matches or difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"Settings are: {', '.join(known)}."
