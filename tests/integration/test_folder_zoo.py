"""Broken and odd folders: each gives a run, or one clear line before any training."""

import os
import struct
import zlib
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image, ImageCms
from zoo_tree import (
    COLOURS,
    COUNT,
    HEIGHT,
    LABELS,
    PIXELS,
    WIDTH,
    Tree,
    checked,
    surveyed,
    trained,
)


@dataclass(frozen=True)
class Case:
    """How a folder is spoilt, and what is said of it."""

    spoil: object
    words: tuple[str, ...] = ()
    """Parts of the one line that refuses the folder; none if it is trained on."""
    init: tuple[str, ...] = ()
    """The same of `segloss data init`."""
    data: dict[str, object] = field(default_factory=dict)
    """Keys of [data]."""
    comment: tuple[str, ...] = ()
    """What a comment of the profile says that `segloss data init` writes."""
    printed: tuple[str, ...] = ()
    """What `segloss data check` prints of a folder that is trained on."""


def both(spoil, *words, **data):
    """Return a case that every reader refuses alike."""
    return Case(spoil, words, words, data)


def damaged(spoil, *words, **data):
    """Return a case whose faulty file `segloss data init` names in a comment."""
    return Case(spoil, words, data=data, comment=words)


def nothing(tree):
    """The folder is sound; the profile is not."""


def coloured():
    return np.array(COLOURS, np.uint8)[LABELS]


def palette(**options):
    mask = Image.frombytes("P", (WIDTH, HEIGHT), LABELS.tobytes())
    mask.putpalette([part for colour in COLOURS for part in colour])
    mask.info.update(options)
    return mask


def cut(folder):
    def spoil(tree):
        path = tree.path(folder, 0)
        path.write_bytes(path.read_bytes()[:-60])

    return spoil


def written(folder, content):
    return lambda tree: tree.path(folder, 0).write_bytes(content)


def named(name):
    """Return a spoiler that gives pair 0 another name, with its mask."""

    def spoil(tree):
        for folder in ("images", "masks"):
            tree.path(folder, 0).rename(tree.root / folder / f"{name}.png")

    return spoil


def hidden(tree):
    for name in (".DS_Store", "._s0.png", "Thumbs.db"):
        (tree.root / "images" / name).write_bytes(b"\0")
        (tree.root / "masks" / name).write_bytes(b"\0")
    (tree.root / "images" / ".ipynb_checkpoints").mkdir()
    tree.path("images", 0).with_name(".ipynb_checkpoints").joinpath("s0.png").write_bytes(b"\0")


def linked_file(tree):
    path = tree.path("images", 0)
    path.rename(tree.root / "elsewhere")
    path.symlink_to(tree.root / "elsewhere")


def linked_folder(tree):
    for folder in ("images", "masks"):
        place = tree.root / folder
        place.rename(tree.root.parent / f"{tree.root.name}-{folder}")
        place.mkdir()
        (place / "disk").symlink_to(tree.root.parent / f"{tree.root.name}-{folder}")


def link_loop(tree):
    (tree.root / "images" / "again").symlink_to(tree.root / "images")
    (tree.root / "masks" / "up").symlink_to(tree.root)


def broken_link(tree):
    path = tree.path("masks", 0)
    path.unlink()
    path.symlink_to("/nowhere/s0.png")


def self_link(tree):
    path = tree.path("images", 0)
    path.unlink()
    path.symlink_to(path)


def no_images(tree):
    for number in range(COUNT):
        tree.path("images", number).unlink()
        tree.path("masks", number).unlink()


def folder_as_file(tree):
    for path in (tree.root / "masks").iterdir():
        path.unlink()
    (tree.root / "masks").rmdir()
    (tree.root / "masks").write_text("")


def lists(train, test="s4\ns5\n"):
    def spoil(tree):
        tree.list("train", train)
        tree.list("test", test)

    return spoil


def frames(tree):
    other = Image.fromarray(255 - PIXELS)
    for number, end in enumerate(("gif", "tif")):
        first = Image.fromarray(PIXELS)
        tree.image(number, first, end, save_all=True, append_images=[other])


def bomb(path):
    """Write a PNG whose header declares 30,000 x 30,000 pixels."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b""))


def profile_of_colours(**data):
    colours = ["#" + bytes(colour).hex() for colour in COLOURS]
    return {"encoding": "colour", "colours": colours} | data


SMOOTH = np.asarray(Image.fromarray(LABELS * 127).resize((WIDTH, HEIGHT), box=(10, 0, 38, 9)))
LISTS = {"splits": None, "lists": "{split}.txt"}
OFF = coloured() + np.array([1, 0, 0], np.uint8)
FLOATS = (PIXELS[..., 0] / 255.0).astype(np.float32)
NAN = np.where(LABELS == 1, np.nan, FLOATS).astype(np.float32)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
TALL = np.zeros((20_000, 20), np.uint8)
TALL[::2] = 1
BINARY = {"classes": ["ground", "object"]}
MAPPED = BINARY | {"label_map": [[255, 1]]}
SHALLOW = PIXELS[..., 0].astype(np.uint16) * 16

CASES = {
    "a sound folder": Case(nothing),
    "one empty mask": Case(lambda t: t.mask(0, LABELS * 0)),
    "empty masks": Case(
        lambda t: t.masks(LABELS * 0),
        ("every labelled pixel is 'ground'", "nothing to tell apart"),
        ("masks: every pixel of every mask has the value 0",),
    ),
    "one class in training": Case(
        lambda t: t.masks(LABELS * 0 + 2),
        ("every labelled pixel is 'car'",),
        ("every pixel of every mask has the value 2",),
    ),
    "all ignored": Case(
        lambda t: t.masks(LABELS * 0 + 255),
        ("every pixel is ignored: no label is a class",),
        ("has the value 255", "look whether these are the masks"),
    ),
    "masks of 0 and 255": Case(
        lambda t: t.masks((LABELS > 0) * np.uint8(255)),
        ("masks hold 'ground' and 255 only", "label_map = [[255, 1]]"),
        data=BINARY,
    ),
    "masks of 0 and 255, mapped": Case(
        lambda t: t.masks((LABELS > 0) * np.uint8(255)), data=MAPPED
    ),
    "masks of 0 and 254": Case(
        lambda t: t.mask(0, (LABELS > 0) * np.uint8(254)),
        ("masks/s0.png: label 254 at row 0, column 16 (1280 pixels like it)", "data.label_map"),
    ),
    "16-bit masks": Case(lambda t: t.masks(LABELS.astype(np.uint16))),
    "16-bit labels far above the classes": Case(
        lambda t: t.masks(LABELS.astype(np.uint16) * 1000),
        ("masks/s", "label 1000 at row 0, column 16", "allowed are 0 to 2 and 255"),
    ),
    "more labels than classes may be": Case(
        lambda t: t.masks(np.arange(1920, dtype=np.uint16).reshape(HEIGHT, WIDTH)),
        ("label 3 at row 0, column 3", "1920 different labels", "nearest neighbour"),
        ("masks hold 1920 different values, at most 255 classes",),
    ),
    "1-bit masks": Case(lambda t: t.masks(Image.fromarray(LABELS > 0)), data=BINARY),
    "LA masks": Case(lambda t: t.masks(Image.fromarray(LABELS).convert("LA"))),
    "palette masks": Case(lambda t: t.masks(palette())),
    "palette masks with transparency": Case(lambda t: t.masks(palette(transparency=0))),
    "palette lost": Case(
        lambda t: t.mask(0, coloured()),
        ("masks/s0.png: the mask holds colours", "encoding = 'colour'", "data.colours"),
        ("masks: 5 masks hold labels (L), others hold colours; save all in one form",),
    ),
    "masks of colours": Case(lambda t: t.masks(coloured()), data=profile_of_colours()),
    "masks of colours with alpha": Case(
        lambda t: t.masks(Image.fromarray(coloured()).convert("RGBA")), data=profile_of_colours()
    ),
    "colours off by one": Case(
        lambda t: (t.masks(coloured()), t.mask(0, OFF)),
        ("masks/s0.png: colour #010000 at row 0", "nearly that of 'ground'", "saved without loss"),
        data=profile_of_colours(),
    ),
    "float masks of whole numbers": Case(lambda t: t.masks(LABELS.astype(np.float32), "tif")),
    "float masks": damaged(
        lambda t: t.mask(0, FLOATS, "tif"), "masks/s0.tif: holds", "which are no labels"
    ),
    "mask of values that are no numbers": damaged(
        lambda t: t.mask(0, NAN, "tif"), "masks/s0.tif: holds nan", "no labels"
    ),
    "mask saved as JPEG": damaged(
        lambda t: t.mask(0, LABELS * 100, "jpg"), "masks/s0.jpg: a JPEG changes labels", "PNG"
    ),
    "JPEG mask called PNG": damaged(
        lambda t: t.mask(0, LABELS * 100, format="JPEG"), "masks/s0.png: a JPEG changes labels"
    ),
    "mask resized with interpolation": Case(
        lambda t: t.masks(SMOOTH),
        ("different labels are a mask resized with", "nearest"),
        data=MAPPED,
    ),
    "label above the classes": Case(
        lambda t: t.mask(0, LABELS + np.uint8(1)),
        ("masks/s0.png: label 3 at row 0, column 32", "reduce_zero_label = true"),
    ),
    "mask larger than its image": Case(
        lambda t: t.mask(0, LABELS.repeat(2, 0)),
        ("masks/s0.png: 48 x 80 pixels, its image s0.png has 48 x 40; resize",),
    ),
    "RGBA image": Case(lambda t: t.image(0, Image.fromarray(PIXELS).convert("RGBA"))),
    "grey images": Case(lambda t: t.images(PIXELS[..., 0])),
    "LA image": Case(lambda t: t.image(0, Image.fromarray(PIXELS).convert("LA"))),
    "1-bit image": Case(lambda t: t.image(0, Image.fromarray(PIXELS[..., 0] > 9))),
    "palette image with transparency": Case(
        lambda t: t.image(0, Image.fromarray(PIXELS).quantize(16), transparency=bytes(range(16)))
    ),
    "CMYK image": Case(
        lambda t: t.image(0, Image.fromarray(PIXELS).convert("CMYK"), "tif"),
        ("images/s0.tif: colour mode CMYK is not supported; save it as RGB",),
    ),
    "16-bit images": Case(lambda t: t.images(SHALLOW), data={"image_range": [0, 4095]}),
    "float images": Case(lambda t: t.images(FLOATS, "tif"), data={"image_range": [0, 1]}),
    "float images without a range": Case(
        lambda t: t.images(FLOATS, "tif"),
        ("images/s", "stores floats, 0 to 1; write data.image_range = [LOW, HIGH]"),
    ),
    "image of values that are no numbers": damaged(
        lambda t: t.image(0, NAN, "tif"), "images/s0.tif: holds values that are no numbers"
    ),
    "image with an ICC profile": Case(lambda t: t.image(0, PIXELS, icc_profile=SRGB)),
    "animated GIF and TIFF of two pages": Case(frames),
    "1 x 1": Case(
        lambda t: (
            t.images(PIXELS[:1, :1]),
            t.masks(LABELS[:1, :1]),
            t.mask(0, LABELS[:1, -1:]),
            t.mask(1, LABELS[:1, 20:21]),
        )
    ),
    "20,000 x 20": Case(lambda t: (t.image(0, TALL), t.mask(0, TALL))),
    "truncated image": damaged(
        cut("images"), "images/s0.png: cannot be decoded", "truncated", "replace the file"
    ),
    "truncated mask": damaged(cut("masks"), "masks/s0.png: cannot be decoded", "replace the file"),
    "zero-byte image": damaged(
        written("images", b""), "images/s0.png: cannot be decoded (the file is empty); replace"
    ),
    "a text file called .png": damaged(
        written("masks", b"404 not found"), "masks/s0.png", "no image format is recognised"
    ),
    "decompression bomb": damaged(
        lambda t: bomb(t.path("images", 0)), "images/s0.png: says that it has more than", "cut it"
    ),
    "hidden files": Case(hidden, printed=("2 hidden files are left out: ._s0.png",)),
    "case twins": both(
        lambda t: (t.image(1, PIXELS), named("S1")(t)),
        "images/s1.png: differs from S1.png in upper and lower case alone",
        "rename one",
    ),
    "duplicate stems": both(
        lambda t: Image.fromarray(PIXELS).save(t.root / "images" / "s0.jpg"),
        "images/s0.png: the same name as s0.jpg; rename or delete one",
    ),
    "spaces and non-ASCII names": Case(named("Größe 数据 (1)")),
    "a name that is not UTF-8": both(
        named(os.fsdecode(b"caf\xe9")), "caf\\udce9.png: the name is not valid UTF-8; rename it"
    ),
    "a name with a line break": Case(named("a\nb")),
    "an absurdly long name": both(
        named("x" * 240), "the name has 240 bytes below its folder, at most 220", "shorten it"
    ),
    "missing mask": Case(
        lambda t: t.path("masks", 0).unlink(),
        ("masks: no mask s0.png for the image", "(1 of 6 images have none); add it"),
        comment=("1 image has no mask: images/s0.png. Add it or move the image",),
    ),
    "mask without an image": Case(
        lambda t: t.path("images", 0).unlink(),
        printed=("1 masks belong to no image: s0.png",),
    ),
    "no images": both(no_images, "has no image"),
    "a folder that is a file": Case(
        folder_as_file,
        ("masks: is a file, no folder; check data.images, data.masks",),
        ("no masks pair with the images by name",),
    ),
    "no folder": Case(
        nothing,
        ("pictures: the folder is missing; check data.images",),
        data={"images": "pictures"},
    ),
    "a folder's name too long": Case(
        nothing, ("xxx: the folder is missing",), data={"masks": "x" * 300}
    ),
    "link to a file": Case(linked_file),
    "link to a folder": Case(linked_folder),
    "links in a loop": Case(link_loop),
    "broken link": damaged(broken_link, "is a link to /nowhere/s0.png, which is missing; mend or"),
    "link to itself": damaged(self_link, "images/s0.png: "),
    "list with Windows line ends and BOM": Case(
        lists(b"\xef\xbb\xbfs0\r\ns1\r\n\r\ns2\r\n"), data=LISTS
    ),
    "list of pairs with spaces in names": Case(
        lambda t: (named("a b")(t), lists("images/a b.png masks/a b.png\ns1\ns2\n")(t)), data=LISTS
    ),
    "list with an unknown name": both(
        lists("s0\ns9\n"), "train.txt, line 2: 's9' names no image", "correct or delete", **LISTS
    ),
    "list with an endless line": both(
        lists("s0\n" + "x" * 5000), "train.txt, line 2: 'xxx", "names no image", **LISTS
    ),
    "list with duplicate lines": both(
        lists("s0\ns1\ns0\n"), "train.txt, line 3: s0 is listed twice; delete", **LISTS
    ),
    "empty list": both(lists("\n"), "train.txt: the list is empty", **LISTS),
    "binary list": both(lists(b"\xff\xfe\0"), "train.txt", "no text in UTF-8", **LISTS),
    "missing list": Case(nothing, ("train.txt: the list of 'train'", "No such file"), data=LISTS),
    "an image in two lists": Case(
        lists("s0\ns1\ns4\n"),
        ("1 images of 'test' are trained on too: s4; name each image in one split",),
        data=LISTS,
    ),
    "a pattern that matches nothing": Case(
        nothing,
        ("data.splits: test = '^z' matches none of the 6 images", "s0, s1"),
        data={"splits": [["train", "^s"], ["test", "^z"]]},
    ),
    "patterns that overlap": Case(
        nothing,
        ("data.splits: s0 matches the patterns of train and of test",),
        data={"splits": [["train", "^s"], ["test", "0$"]]},
    ),
    "a pattern that is none": Case(
        nothing, ("'(' is no regular expression",), data={"splits": [["train", "("], ["test", "s"]]}
    ),
    "shares that give an empty split": Case(
        nothing,
        ("data.splits: test = 0.01 of 6 images", "is none; give a larger share"),
        data={"splits": [["train", 0.9], ["test", 0.01]]},
    ),
    "more folds than groups": Case(
        nothing,
        ("data.folds = 7: the images form only 6 groups",),
        data={"splits": None, "folds": 7},
    ),
    "groups that are no pattern": Case(
        nothing, ("groups", "'[' is no regular expression"), data={"groups": "["}
    ),
    "missing file of classes": Case(
        nothing,
        ("data.classes: ", "names.txt cannot be read", "No such"),
        data={"classes": "names.txt"},
    ),
    "damaged file of classes": Case(
        lambda t: (t.root / "names.json").write_text("[1,"),
        ("names.json cannot be read as a list of classes",),
        data={"classes": "names.json"},
    ),
}


def said(words, message):
    """Assert that a message is one line with these parts; nothing for no parts."""
    assert bool(words) == bool(message), message or "no message"
    assert message.isprintable(), message
    assert all(word in message for word in words), message


@pytest.mark.parametrize("name", CASES)
def test_each_folder_gives_a_run_or_one_clear_line(name, tmp_path):
    """In a run's checks, in `segloss data check` and in `segloss data init`."""
    case = CASES[name]
    tree = Tree(tmp_path / "zoo", case.data)
    case.spoil(tree)
    profile = tree.write()
    said(case.words, trained(profile))

    printed, message = checked(profile)
    assert all(word in printed + message for word in (*case.words, *case.printed)), (
        printed + message
    )
    if "fault" in message:
        assert message.endswith("listed above")
        assert any(all(word in line for word in case.words) for line in printed.splitlines())
    else:
        assert message.isprintable()
    assert case.words or not message

    own = tmp_path / "own.toml"
    said(case.init, surveyed(tree.root, own))
    if not case.init:
        text = own.read_text()
        assert all(word in text for word in case.comment), text
        again = trained(str(own))
        assert not again or any(word in again for word in case.words) or "batch of" in again, again


def test_fewer_images_than_a_batch_are_refused(tmp_path):
    """Batch norm cannot train on one, and a smaller batch is not what the profile asks for."""
    tree = Tree(tmp_path / "zoo", {"splits": [["train", "0$"], ["test", "[1-5]$"]]})
    said(
        ("train has 1 images, which do not fill a batch of 2; lower recipe.batch_size",),
        trained(tree.write()),
    )
