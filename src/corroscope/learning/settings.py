"""Every setting of a training, with its meaning, unit and range."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from corroscope.settings import check_settings

Probability = Annotated[float, Field(ge=0, le=1)]


class Augmentation(BaseModel):
    """How much training crops are changed; ``Augmentation()`` is what the bundle used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    on_particle: Probability = Field(0.7, description="share of crops cut near a particle")
    pasted: float = Field(2.0, ge=0, le=20, description="mean number of particles pasted in a crop")
    in_company: bool = Field(
        False,
        description="whether crops without a reference get them in proportion to the patch's own",
    )
    specks: float = Field(
        1.0, ge=0, le=20, description="mean number of dark specks pasted that are no particles"
    )
    resampled: Probability = Field(0.5, description="share of crops turned by any angle and scaled")
    scale: float = Field(1.25, ge=1, le=2, description="largest magnification and its inverse")
    contrast: float = Field(1.4, ge=1, le=3, description="largest factor on contrast")
    brightness: float = Field(0.01, ge=0, le=0.5, description="SD of offset, in contrast")
    noisy: Probability = Field(0.5, description="share of crops with noise added")
    noise_sigma: float = Field(0.02, ge=0, le=0.5, description="largest SD of noise, in contrast")
    blurred: Probability = Field(0.25, description="share of crops blurred")
    blur_sigma_px: float = Field(1.0, ge=0.3, le=5, description="largest SD of the blur")


class Pairing(BaseModel):
    """How crops get a reference; contrasts are relative ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alone: Probability = Field(
        0.4, description="share of crops without a reference; 1: a network that never sees one"
    )
    synthetic: Probability = Field(0.3, description="share of crops of synthetic runs")
    paired: Probability = Field(
        0.15, description="share of crops of patches that show one surface at two times"
    )
    first_unseen: Probability = Field(
        0.33, description="share of crops of synthetic runs whose reference is not shown"
    )
    runs: int = Field(250, ge=1, le=100_000, description="synthetic runs that pairs are taken of")
    healed: Probability = Field(0.7, description="share of particles that the reference lacks")
    clean_contrast: float = Field(-0.06, ge=-1, le=0, description="metal darker than it is a speck")
    static: float = Field(1.0, ge=0, le=20, description="mean number pasted into both")
    gone: float = Field(0.5, ge=0, le=20, description="mean number pasted into the reference alone")
    shift_px: float = Field(4.0, ge=0, le=20, description="largest drift of the reference")
    misaligned_px: float = Field(0.15, ge=0, le=5, description="SD of what alignment leaves of it")
    least_noise: float = Field(0.008, ge=0, le=0.5, description="smallest SD of its noise")
    most_noise: float = Field(0.02, ge=0, le=0.5, description="largest SD of its noise")
    contrast: float = Field(0.05, ge=0, le=0.5, description="SD of the logarithm of its contrast")
    brightness: float = Field(0.012, ge=0, le=0.5, description="SD of slow light in it")

    @model_validator(mode="after")
    def _shares_fit(self) -> "Pairing":
        if self.alone < 1 and self.alone + self.synthetic + self.paired > 1:
            raise ValueError(
                f"pairing: shares alone {self.alone:g}, synthetic {self.synthetic:g} and paired "
                f"{self.paired:g} exceed 1"
            )
        return self


class TrainSettings(BaseModel):
    """Settings of `corroscope.train`; the defaults are those of the shipped bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str = Field(
        "unetpp",
        description="unetpp, unet, or smp:NAME for one of segmentation-models-pytorch",
        pattern=r"^(unetpp|unet|smp:[A-Za-z0-9]+)$",
    )
    encoder: str = Field("timm-efficientnet-b0", description="encoder of an smp: architecture")
    widths: tuple[int, ...] = Field(
        (8, 16, 48, 96), min_length=2, max_length=6, description="channels of each level"
    )
    dilations: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        (2, 4),
        max_length=6,
        description="dilated convolutions of unetpp and unet at the coarsest level, to see farther",
    )
    background_sigma_px: float = Field(25.0, gt=1, le=500, description="SD of the background")
    crop_px: int = Field(128, ge=32, le=1024, multiple_of=32, description="side of a crop")
    batch_size: int = Field(8, ge=1, le=1024, description="crops in a step")
    steps_per_epoch: int = Field(50, ge=1, description="optimiser steps between validations")
    epochs: int = Field(60, ge=1, description="epochs at most")
    patience: int = Field(20, ge=1, description="epochs without improvement before stopping")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="highest learning rate of AdamW")
    weight_decay: float = Field(1e-2, ge=0, le=1, description="weight decay of AdamW")
    ema_decay: float = Field(0.995, ge=0, lt=1, description="decay of the weights' moving average")
    dice_weight: Probability = Field(0.5, description="overlap in the loss; the rest cross-entropy")
    missed_weight: Probability = Field(
        0.5, description="cost of a missed pixel in the overlap, an invented one costs the rest"
    )
    focal_gamma: float = Field(
        0.0, ge=0, le=5, description="how much less well recognised pixels count; 0: all alike"
    )
    balance: Probability = Field(
        0.0, description="how much small particles are made up for: 0 all pixels alike, 1 particles"
    )
    soft_rim_px: float = Field(
        0.0, ge=0, le=3, description="SD by which the rims of annotated particles are blurred"
    )
    foreground: float = Field(0.006, gt=0, lt=1, description="expected particle fraction")
    folds: int = Field(5, ge=2, le=100, description="one of so many surface folds validates")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="seed of weights, crops and their order")
    augmentation: Augmentation = Augmentation()
    pairing: Pairing = Pairing()

    @property
    def channels(self) -> int:
        """Planes that the network is shown: 3 where it learns to compare with a reference."""
        return 1 if self.pairing.alone == 1 else 3

    @model_validator(mode="after")
    def _widths_are_positive(self) -> "TrainSettings":
        if min(self.widths) < 1:
            raise ValueError(f"widths: {self.widths} must all be positive")
        return self


def make_settings(changes: dict[str, Any]) -> TrainSettings:
    """Check settings given by name.

    Parameters
    ----------
    changes
        Settings that differ from their defaults.

    Returns
    -------
    TrainSettings
        All settings.

    Raises
    ------
    SettingsError
        If a name is unknown or a value is out of range.

    Examples
    --------
    >>> make_settings({"epochs": 3}).epochs
    3
    >>> make_settings({"epochs": -1})
    Traceback (most recent call last):
    corroscope.errors.SettingsError: epochs: -1 (allowed: at least 1)
    """
    return check_settings(TrainSettings, changes)
