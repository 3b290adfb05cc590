"""Every setting of the method, written once: default, range, unit and help.

The command line (``--set training.steps=500``), the forms of the window and the settings page of
the documentation are derived from these frozen models. The effort chooses a preset for all of them;
`settings_for` in `engine/overrides.py` applies a person's changes, and `engine/stored_settings.py`
reads settings stored under earlier names.
"""

from __future__ import annotations

from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Effort = Literal["quick", "standard", "thorough"]
EFFORTS: tuple[Effort, ...] = get_args(Effort)
MAX_LABELS = 255  # per label map: its voxels are uint8


class Config(BaseModel):
    """Base of all settings: frozen, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ConformConfig(Config):
    """The isotropic RAS grid on which the networks are trained."""

    spacing_mm: float = Field(4.0, gt=0, le=20, description="Voxel size for an adult brain (mm)")
    scale_to_brain: bool = Field(
        True,
        description="Scale the voxel size with the painted brain, so that a mouse gets as many "
        "voxels as a human",
    )
    margin: float = Field(
        0.15, ge=0, le=2, description="Margin around the painted brain in the training grid "
        "(fraction of the brain's extent on each side)",
    )
    max_voxels: int = Field(
        256**3, ge=32**3, description="Largest grid predicted in one pass (voxels)"
    )


class LabelMapConfig(Config):
    """How the intensities of a labelled scan are binned into the labels of the synthesis."""

    method: Literal["kmeans", "quantiles", "gmm"] = Field(
        "kmeans", description="Binning rule: k-means, quantiles or Gaussian mixture"
    )
    n_bins: tuple[tuple[int, int], ...] = Field(
        ((2, 4), (3, 3)),
        min_length=1,
        description="Label maps made from each mask: (bins inside, bins outside) of each",
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
        description="Regions of the head in which a bin gets different labels (1: one region)",
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
    """Ranges of the domain randomisation, from which each synthetic head is sampled."""

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
    isointense_probability: float = Field(
        0.5, ge=0, le=1,
        description="Share of heads in which labels inside and outside the mask that are "
        "isointense in the scan stay isointense",
    )
    blend: float = Field(
        0.5, ge=0, le=1,
        description="Largest variation of a label's intensity across the head "
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
        0.25, ge=0, le=0.9, description="Largest fraction of the field of view cut off at one side"
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
        "unet", description="A plain U-Net of strided convolutions, or SynthStrip's architecture"
    )
    channels: tuple[int, ...] = Field(
        (16, 32, 64, 128), min_length=2, description="Features of each level"
    )
    norm: Literal["instance", "channel"] = Field(
        "instance",
        description="Normalise features over the image, or over the channels of each voxel",
    )
    target: Literal["probability", "distance"] = Field(
        "probability", description="What the network predicts: brain probability, or the signed "
        "distance to the brain's surface",
    )

    @property
    def side_multiple(self) -> int:
        """Sides of an image must be multiples of this (voxels)."""
        return int(2 ** (len(self.channels) - 1))


class TrainingConfig(Config):
    """Training of the segmenter on synthetic images."""

    steps: int = Field(1800, ge=1, description="Optimiser steps")
    batch_size: int = Field(1, ge=1, le=256, description="Synthetic heads in a step")
    context_fraction: float = Field(
        0.2, ge=0, le=1,
        description="Fraction of steps on a larger field of view, with more neck and air",
    )
    context_scale: float = Field(
        1.5, ge=1, le=3, description="Sides of the larger field of view, relative to the grid"
    )
    real_fraction: float = Field(
        0.8, ge=0, le=1,
        description="Fraction of steps on the real scans and their masks, if several were painted",
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
    latent: int = Field(32, ge=2, le=1024, description="Length of the latent vector")
    corruption_probability: float = Field(
        0.5, ge=0, le=1, description="Fraction of training masks corrupted first (denoising)"
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
        description="Centre the frame on the mask's centre of mass, not on the middle of its "
        "scan",
    )
    retrain_each_round: bool = Field(
        True, description="Retrain it in later rounds when there are more masks made by hand"
    )


class PredictionConfig(Config):
    """From a scan to its mask."""

    flip: bool = Field(True, description="Average the prediction with that of the mirrored scan")
    windows: int = Field(
        3, ge=1, le=3, description="Number of shifted windows whose predictions are averaged"
    )
    threshold: float = Field(
        0.6, gt=0, lt=1,
        description="Probability threshold of the mask; at 0.5 masks come out too large, since "
        "soft Dice favours brain where the network is uncertain",
    )
    pitch_deg: float = Field(
        40.0, ge=0, le=180,
        description="Largest pitch (chin down or up) relative to the painted head that is "
        "corrected before prediction (deg; 0: none)",
    )
    remove_leaks: bool = Field(
        True,
        description="Remove what lies far outside of the mask's reconstruction by the autoencoder",
    )
    refine_border: bool = Field(
        True,
        description="Move the surface to the border that a classifier, fitted to the mask itself, "
        "finds in the scan",
    )
    border_mm: float = Field(0.0, ge=-20, le=20, description="Grow (+) or shrink the mask (mm)")
    largest_component: bool = Field(True, description="Keep only the largest connected component")
    fill_holes: bool = Field(True, description="Fill holes inside the mask")


class RankingConfig(Config):
    """Scores of predicted masks, and which of them become pseudo-labels."""

    score: Literal["mean", "autoencoder", "consistency"] = Field(
        "mean",
        description="Ranking criterion: the autoencoder's error, agreement under "
        "augmentation, or the geometric mean of that error and of 1 - agreement",
    )
    error: Literal["dice", "mse", "surface"] = Field(
        "dice", description="How a mask and its reconstruction are compared"
    )
    views: int = Field(8, ge=1, le=64, description="Views of a mask to average its error over")
    pitch_deg: float = Field(
        40.0, ge=0, le=180,
        description="Largest pitch (chin down or up) relative to the painted mask that is "
        "corrected before the autoencoder (deg; 0: none)",
    )
    consistency: bool = Field(True, description="Also measure agreement under augmentation")
    n_augmentations: int = Field(8, ge=2, le=64, description="Augmentations to measure agreement")
    select: Literal["top_k", "fraction", "threshold", "varied"] = Field(
        "fraction",
        description="Rule that selects pseudo-labels among undecided masks: the best of all, or "
        "(varied) the best of each group of similar scans, a fraction in total",
    )
    top_k: int = Field(10, ge=1, description="Masks selected by the rule top_k")
    fraction: float = Field(
        0.7, gt=0, le=1, description="Fraction selected by the rules fraction and varied"
    )
    max_error: float = Field(0.1, ge=0, description="Largest error selected by rule threshold")

    @property
    def measures_consistency(self) -> bool:
        """Whether agreement is needed, as a measure of its own or for the score."""
        return self.consistency or self.score != "autoencoder"


class FinetuningConfig(Config):
    """Self-training on painted, corrected, accepted and selected masks."""

    rounds: int = Field(1, ge=0, le=20, description="Rounds of predict, rank, select, train")
    start: Literal["previous", "scratch"] = Field(
        "previous", description="Start from the weights of the previous round, or from scratch"
    )
    steps: int = Field(3600, ge=1, description="Optimiser steps of each round")
    refresh_fraction: float = Field(
        0.5, ge=0, le=10,
        description="Further steps, as a share of these, on the selected pseudo-labels predicted "
        "again by the mean of the previous and the fine-tuned network (0: none)",
    )
    learning_rate: float = Field(3e-3, gt=0, le=1, description="Peak learning rate")
    threshold: float = Field(
        0.5, gt=0, lt=1,
        description="Probability threshold after training on real scans, instead of "
        "prediction.threshold: the network no longer overestimates the brain",
    )
    real_fraction: float = Field(
        0.3, ge=0, le=1,
        description="Fraction of steps on the real scans and their masks, not on synthetic images",
    )
    pseudo_labels: Literal["auto", "decided", "selected"] = Field(
        "auto",
        description="Beside masks made by hand: only accepted ones (decided), also those selected "
        "by the ranking (selected), or those selected until a person has decided enough (auto)",
    )
    min_reviewed_masks: int = Field(
        9, ge=1,
        description="From this many painted, corrected or accepted masks on, auto leaves out those "
        "that the ranking selects; on fewer the network would overfit",
    )
    soft_labels: bool = Field(
        False,
        description="Train on the predicted probability, not its mask, where a pseudo-label was "
        "not corrected; pseudo-labels are then not predicted again",
    )
    label_maps: int = Field(
        2, ge=1, le=32, description="Label maps made from each mask in fine-tuning"
    )
    trusted_weight: int = Field(
        3, ge=1, le=100,
        description="How many times more often a painted or corrected mask is sampled than a "
        "pseudo-label",
    )

    @property
    def refresh_steps(self) -> int:
        """Steps on pseudo-labels that were predicted again."""
        return round(self.refresh_fraction * self.steps)


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


# Differences from the defaults above, which are those of "quick".
PRESETS: dict[Effort, dict[str, Any]] = {
    "quick": {},
    "standard": {
        "conform.spacing_mm": 2.0,
        "network.channels": (16, 32, 64, 128, 128),
        "training.steps": 4000,
        "training.learning_rate": 2e-3,
        "finetuning.steps": 2000,
        "finetuning.refresh_fraction": 0,  # measured at 4 mm only
        "finetuning.learning_rate": 2e-3,
    },
    "thorough": {
        "conform.spacing_mm": 1.0,
        "label_map.oversampling": 1,
        "network.channels": (16, 32, 64, 128, 128, 128),
        "training.steps": 20000,
        "training.learning_rate": 1e-3,
        "finetuning.steps": 5000,
        "finetuning.refresh_fraction": 0,
        "finetuning.learning_rate": 1e-3,
        "autoencoder.max_side": 64,
        "autoencoder.channels": (16, 32, 64, 128),
        "autoencoder.steps": 2000,
    },
}
