"""DataSpec: everything that decides the images of a run, their pixels and their labels.

The data sets "folder" and "huggingface" are files of the user's own; most fields describe those.
docs/your-data.md explains them with examples.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from bench.files import Positive, Strict

Size = tuple[Positive, Positive]  # (height, width) in pixels
Level = Annotated[int, Field(ge=0, le=255)]
Colour = tuple[Level, Level, Level]
Label = Annotated[int, Field(ge=0)]
Channels = tuple[float, float, float]

HELD_OUT = "held-out"
"""Name of the tuning split: training images that are scored instead."""
FOLD = "fold"
"""Name of the split that ``folds`` holds out."""
OWN = ("folder", "huggingface")
"""The data sets of a user's own files."""


class DataSpec(Strict):
    """The images to train on and the images to score."""

    name: str
    train: Annotated[tuple[str, ...], Field(min_length=1)] = ("train",)
    evaluate: str = "test"
    void: Literal["ignore", "class"] = "ignore"
    class_map: Literal["usual", "strict"] = "usual"
    """Map of CamVid's 32 classes to 11, for a copy that has 32: docs/data.md."""
    image_size: Size | None = None
    """Size of an image in the network; labels are scored at their stored size."""
    train_images: Positive | None = None
    """Highest number of images, evenly spaced; None uses all. ``evaluate_images`` likewise."""
    evaluate_images: Positive | None = None
    held_out: tuple[str, ...] = ()
    """Groups of the training images that form the tuning split, called "held-out"."""
    held_out_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the training images that forms it if they stand alone, evenly spaced."""

    images: str = ""
    """Folder of the images below the data root, in which {split} stands for the split's name; for
    huggingface the column of the images."""
    masks: str = ""
    """Folder, or column, of the masks."""
    image_suffix: str = ""
    """End of the name of every image, such as "_leftImg8bit.png"; empty: any image file."""
    mask_suffix: str = ""
    """End of the name of every mask; the rest of its name is its image's."""
    lists: str | None = None
    """File that lists the images of {split}: a name, or an image and its mask, on each line."""
    splits: tuple[tuple[str, Annotated[float, Field(gt=0, lt=1)] | str], ...] = ()
    """Splits by rule: the share of the images of each, or a pattern that its ids match."""
    path: str = ""
    """huggingface: folder below the data root with its files."""
    classes: tuple[str, ...] = ()
    """Name of each class, label 0 first."""
    colours: tuple[Colour, ...] = ()
    """Colour of each class, in figures and in masks whose ``encoding`` is "colour"."""
    ignored_colours: tuple[Colour, ...] = ()
    """Colours of pixels that are neither trained on nor scored, in masks of colours."""
    encoding: Literal["index", "colour"] = "index"
    """Whether a mask stores labels, or the colours of the classes."""
    label_map: tuple[tuple[Label, Label], ...] = ()
    """Pairs (stored label, class); 255 as a class ignores the pixels. Other labels stay."""
    reduce_zero_label: bool = False
    """Whether the label 0 is ignored and the others count from 1."""
    ignore_index: Label = 255
    """Stored label of pixels that are neither trained on nor scored."""
    image_range: tuple[float, float] | None = None
    """Values of images with more than 8 bits that become 0 and 255; None: the whole range."""
    mean: Channels = (123.675, 116.28, 103.53)
    """Mean of the training pixels per channel, 0..255; the default is ImageNet's."""
    std: Channels = (58.395, 57.12, 57.375)
    """Standard deviation likewise."""
    thin_classes: tuple[str, ...] = ()
    """Classes whose objects are a few pixels wide: "thin_miou" is their mean IoU."""
    groups: str | None = None
    """Pattern over ids; images with the same match belong together: a film, a patient."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """Number of folds of the training images; seed s holds out fold s mod ``folds``."""
    fold: Annotated[int, Field(ge=0)] | None = None
    """The fold that one run holds out; set for each seed, never in a profile."""

    @field_validator("groups")
    @classmethod
    def _is_a_pattern(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            _compiled(pattern)
        return pattern

    @model_validator(mode="after")
    def _scored_on_unseen_images(self) -> DataSpec:
        if self.evaluate in self.train:
            raise ValueError(f"evaluate = {self.evaluate!r} is a split that is trained on")
        if self.held_out and self.held_out_share:
            raise ValueError("give held_out or held_out_share, not both")
        if bool(self.held_out or self.held_out_share) != (self.evaluate == HELD_OUT):
            raise ValueError(f"evaluate = {HELD_OUT!r} needs held_out or held_out_share")
        if (self.folds is not None) != (self.evaluate == FOLD):
            raise ValueError(f"folds and evaluate = {FOLD!r} belong together")
        if self.fold is not None and self.fold >= (self.folds or 0):
            raise ValueError(f"fold = {self.fold} needs folds above it")
        return self

    @model_validator(mode="after")
    def _classes_are_whole(self) -> DataSpec:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes names a class twice")
        if len(self.classes) > 255:
            raise ValueError(f"classes: {len(self.classes)} classes; at most 255 fit into a mask")
        if self.colours and len(self.colours) != len(self.classes):
            raise ValueError(f"{len(self.colours)} colours for {len(self.classes)} classes")
        if self.encoding == "colour" and len(set(self.colours)) < max(1, len(self.classes)):
            raise ValueError("encoding = 'colour' needs colours, a different one for each class")
        if self.image_range is not None and not self.image_range[0] < self.image_range[1]:
            raise ValueError(f"image_range: {self.image_range[0]} is not below the other value")
        for stored, label in self.label_map:
            if label >= len(self.classes) and label != 255:
                raise ValueError(
                    f"label_map: [{stored}, {label}] names no class; there are "
                    f"{len(self.classes)}, counted from 0, and 255 (ignored)"
                )
        if unknown := sorted(set(self.thin_classes) - set(self.classes)):
            raise ValueError(f"thin_classes: {', '.join(unknown)} is no class")
        return self

    @model_validator(mode="after")
    def _splits_are_whole(self) -> DataSpec:
        shares = [rule for _, rule in self.splits if not isinstance(rule, str)]
        if shares and len(shares) < len(self.splits):
            raise ValueError("splits: give a share for every split, or a pattern for every split")
        if sum(shares) > 1 + 1e-9:
            raise ValueError(f"splits: the shares add up to {sum(shares):g}, above 1")
        for _, rule in self.splits:
            if isinstance(rule, str):
                _compiled(rule)
        if self.splits and self.lists is not None:
            raise ValueError("lists and splits both name the images of a split; give one of them")
        return self

    @property
    def is_own(self) -> bool:
        """Return whether the data are files of the user's own."""
        return self.name in OWN

    @classmethod
    def default(cls, field: str) -> Any:
        """Return the default of a field."""
        return cls.model_fields[field].default

    def for_seed(self, seed: int) -> DataSpec:
        """Return the specification of one seed's run: with ``folds``, its fold."""
        if self.folds is None:
            return self
        return self.model_copy(update={"fold": seed % self.folds})


_FIELDS = list(DataSpec.model_fields)
OWN_FIELDS = frozenset(_FIELDS[_FIELDS.index("images") :])
"""The fields that describe a user's own files, groups and folds."""


def group_of(pattern: str | None, id: str) -> str:
    r"""Return the group of an image: the first bracket of the pattern, else all that it matches.

    An image that the pattern does not match, or any image without a pattern, is its own group.

    >>> group_of(r"^(Image_\d+)", "Image_01L")
    'Image_01'
    """
    found = _compiled(pattern).search(id) if pattern is not None else None
    if found is None:
        return id
    return found[1] if found.re.groups and found[1] is not None else found[0]


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
