"""Weights from files: every naming loads to the same network; every bad file is one line."""

import collections
import pickle

import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18

from bench.errors import SpecError
from bench.files import digest_of
from bench.models.deeplab import build_model
from bench.models.pretrained import LITE0, find_weights
from bench.models.weights_file import network_weights
from bench.spec import ModelSpec

HEAD = {"head_channels": 8, "atrous_rates": (1, 2, 3)}


def noise_like(network, seed=0):
    """The network's state with every number drawn at random, whole-number buffers left out."""
    generator = torch.Generator().manual_seed(seed)
    return {
        key: value if value.ndim == 0 else torch.rand(value.shape, generator=generator)
        for key, value in network.state_dict().items()
    }


def as_torch(path, stored):
    torch.save(stored, path)


def nested(path, stored):
    torch.save({"epoch": 3, "state_dict": stored, "optimizer": {"lr": 0.1}}, path)


def data_parallel(path, stored):
    torch.save(collections.OrderedDict((f"module.{k}", v) for k, v in stored.items()), path)


def legacy(path, stored):
    """As torch wrote before 1.6, without the counters that came with 0.4.1."""
    old = {k: v for k, v in stored.items() if not k.endswith("num_batches_tracked")}
    torch.save(old, path, _use_new_zipfile_serialization=False)


def as_safetensors(path, stored):
    save_file(stored, path)


@pytest.mark.parametrize("write", [as_torch, nested, data_parallel, legacy, as_safetensors])
def test_torchvisions_resnet_loads_to_the_same_features(tmp_path, write):
    """Torchvision's own network and our backbone agree on an image, whatever the file's form."""
    network = resnet18(num_classes=7)
    stored = noise_like(network)
    network.load_state_dict(stored)
    write(tmp_path / "weights", stored)
    spec = ModelSpec(backbone="resnet18", output_stride=32, **HEAD)
    model = build_model(spec, 3, seed=0, weights=tmp_path / "weights").backbone.eval()
    image = torch.rand(1, 3, 64, 64)
    x = network.eval().maxpool(network.relu(network.bn1(network.conv1(image))))
    for stage, ours in zip(
        (network.layer1, network.layer2, network.layer3, network.layer4), model(image), strict=True
    ):
        x = stage(x)
        torch.testing.assert_close(ours, x)


def encoding_resnet101():
    """Names and shapes of PyTorch-Encoding's ResNet-101 with its deep base, written out."""
    shapes = {}

    def conv(name, inputs, outputs, kernel):
        shapes[f"{name}.weight"] = (outputs, inputs, kernel, kernel)

    def norm(name, channels):
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (channels,)

    for layer, (inputs, outputs) in zip((0, 3, 6), ((3, 64), (64, 64), (64, 128)), strict=True):
        conv(f"conv1.{layer}", inputs, outputs, 3)
        norm(f"conv1.{layer + 1}" if layer < 6 else "bn1", outputs)
    channels = 128
    for stage, blocks in enumerate((3, 4, 23, 3)):
        width = 64 * 2**stage
        for i in range(blocks):
            block = f"layer{stage + 1}.{i}"
            for k, (inputs, outputs, kernel) in enumerate(
                ((channels, width, 1), (width, width, 3), (width, 4 * width, 1)), 1
            ):
                conv(f"{block}.conv{k}", inputs, outputs, kernel)
                norm(f"{block}.bn{k}", outputs)
            if i == 0:
                conv(f"{block}.downsample.0", channels, 4 * width, 1)
                norm(f"{block}.downsample.1", 4 * width)
            channels = 4 * width
    return {**shapes, "fc.weight": (1000, 2048), "fc.bias": (1000,)}


def test_pytorch_encodings_names_are_those_of_timms_resnet101s(tmp_path):
    """The authors' file fits resnet101s to the last key, and not the narrower stem of 101c."""
    stored = {key: torch.rand(shape) for key, shape in encoding_resnet101().items()}
    path = tmp_path / "resnet101-2a57e44d.pth"
    torch.save(stored, path)
    model = build_model(ModelSpec(backbone="resnet101s", **HEAD), 3, seed=0, weights=path)
    loaded = {k: v for k, v in model.backbone.state_dict().items() if "num_batches" not in k}
    assert loaded.keys() == stored.keys() - {"fc.weight", "fc.bias"}
    assert all(torch.equal(value, stored[key]) for key, value in loaded.items())
    with pytest.raises(
        SpecError,
        match=r"another architecture than 'resnet101c'.*conv1.0.weight \[64, 3, 3, 3\], not \[32",
    ):
        network_weights(path, "resnet101c")


@pytest.mark.parametrize("name", ["test_resnet", "regnetx_002", "mobilenetv3_small_050", LITE0])
def test_timms_own_names_load_to_the_same_features(tmp_path, name):
    """A feature backbone may call its stages by other names than the whole network."""
    network = timm.create_model(name)
    path = tmp_path / "w.safetensors"
    save_file(noise_like(network), path)
    overlay = {"file": str(path), "hf_hub_id": None, "url": ""}
    whole = timm.create_model(
        name,
        features_only=True,
        out_indices=(1, 2, 3, 4),
        pretrained=True,
        pretrained_cfg_overlay=overlay,
    )
    spec = ModelSpec(backbone=name, output_stride=32, **HEAD)
    ours = build_model(spec, 3, seed=0, weights=path).backbone
    wanted = whole.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in ours.state_dict().items())


def test_efficientnet_pytorchs_names(tmp_path):
    """The package's own file is one of them; given as a file it loads alike."""
    spec = ModelSpec(backbone=LITE0, **HEAD)
    path = find_weights(tmp_path, spec)
    assert path is not None
    weights = network_weights(path, LITE0)
    assert weights["blocks.0.0.conv_pw.weight"].shape == (16, 32, 1, 1)
    assert weights["blocks.1.0.conv_pwl.weight"].shape == (24, 96, 1, 1)


class Harmful:
    """What a pickle may hold."""

    def __reduce__(self):
        return (print, ("code ran",))


def half(path):
    as_torch(path, noise_like(timm.create_model("test_resnet")))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def half_safetensors(path):
    save_file(noise_like(timm.create_model("test_resnet")), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def with_code(path):
    torch.save({"state_dict": {"conv1.weight": Harmful()}}, path)


def plain_pickle(path):
    path.write_bytes(pickle.dumps(Harmful(), protocol=2))


def one_short(path):
    stored = noise_like(timm.create_model("test_resnet"))
    del stored["layer2.0.conv1.weight"]
    torch.save(stored, path)


BAD = {
    "another network": (lambda p: torch.save(resnet18().state_dict(), p), "another architecture"),
    "one key short": (one_short, r"1 missing \(layer2.0.conv1.weight\)$"),
    "half a file": (half, "damaged, or not a file of weights"),
    "half a safetensors file": (half_safetensors, "damaged, or not a file of weights"),
    "code": (with_code, "holds more than tensors"),
    "a pickle": (plain_pickle, "holds more than tensors"),
    "an empty file": (lambda p: p.write_bytes(b""), "damaged, or not a file of weights"),
    "text": (
        lambda p: p.write_text("<html>not found</html>"),
        "damaged, or not a file of weights: it begins",
    ),
    "an empty dict": (lambda p: torch.save({}, p), "holds no named weights"),
    "a list": (lambda p: torch.save([torch.zeros(1)], p), "holds no named weights"),
    "numbers": (lambda p: torch.save({"lr": 0.1}, p), "'lr' is not a tensor but float"),
    "a folder": (lambda p: p.mkdir(), "cannot be read: Is a directory"),
    "nothing": (lambda p: None, "cannot be read: No such file"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_one_line_that_names_it(tmp_path, kind, capfd):
    """Nothing in it is run."""
    write, message = BAD[kind]
    path = tmp_path / "weights.pth"
    write(path)
    with pytest.raises(SpecError, match=message) as caught:
        network_weights(path, "test_resnet")
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700
    assert "code ran" not in capfd.readouterr().out


def test_three_keys_of_each_kind_are_shown(tmp_path):
    """And how many there are."""
    path = tmp_path / "w.pth"
    given, wanted = (timm.create_model(name).state_dict() for name in ("resnet26d", "resnet26"))
    torch.save(given, path)
    with pytest.raises(SpecError) as caught:
        network_weights(path, "resnet26")
    said = str(caught.value)
    missing = [key for key in wanted if key not in given and "num_batches" not in key]
    extra = [key for key in given if key not in wanted]
    assert f": {len(missing)} missing ({'; '.join(missing[:3])}; …), " in said
    assert f", {len(extra)} not known ({'; '.join(extra[:3])}; …), " in said


def test_the_digest_is_the_start_of_the_files_sha256(tmp_path):
    """As sha256sum prints it (FIPS 180-2, the example "abc")."""
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert digest_of(path) == "ba7816bf8f01"
