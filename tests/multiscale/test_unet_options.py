"""Options of the U-Net, all off by default: attention, residual levels, squeeze and excitation, supervision, blur, an encoder."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.multiscale import ResidualBlock, UNet
from neurenix.nn import functional
from neurenix.testing import assert_same_bits, check_gradient, random_array

pytestmark = pytest.mark.filterwarnings("ignore::neurenix.errors.NeurenixWarning")
SIZES = [(1, 1), (2, 3), (5, 1), (7, 9), (16, 16), (33, 18)]
OPTIONS = {
    "attention": {"attention": True},
    "residual": {"residual": True},
    "squeeze": {"squeeze_excitation": True},
    "residual-squeeze": {"residual": True, "squeeze_excitation": True},
    "supervision": {"deep_supervision": True},
    "blur": {"downsample": "blur"},
    "nearest": {"upsample": "nearest", "activation": "leaky_relu"},
    "bilinear": {"upsample": "bilinear", "activation": "silu", "squeeze_excitation": True},
    "all": {"attention": True, "residual": True, "squeeze_excitation": True, "deep_supervision": True, "downsample": "blur"},
}


class Halves(nn.Module):
    """Maps at strides of the image: strided convolutions, sizes rounded up or down."""

    def __init__(self, out_channels, strides, *, padding=1):
        self.out_channels, self.strides, self.padding = list(out_channels), list(strides), padding
        before = [1, *strides[:-1]]
        ratios = [b // a for a, b in zip(before, strides, strict=True)]
        self.stages = nn.ModuleList(
            [nn.Conv2d(a, b, 3 if padding else r, r, padding) for a, b, r in zip([3, *out_channels], out_channels, ratios, strict=False)]
        )

    def forward(self, x):
        found = []
        for stage in self.stages:
            x = functional.relu(stage(x))
            found.append(x)
        return found


def small(**options):
    nx.manual_seed(1)
    return UNet(3, 2, features=[4, 6], norm="group", **options)


def image(*shape, dtype=np.float64):
    return random_array(*shape, dtype=dtype)


def outputs(y):
    return y if isinstance(y, list) else [y]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_output_has_the_inputs_size(options):
    model = small(**options)
    for size in SIZES:
        for n in (1, 2):
            found = outputs(model(image(n, 3, *size)))
            assert [y.shape for y in found] == [(n, 2, *size)] * (2 if options.get("deep_supervision") else 1)
    nx.sum(nx.stack(found)).backward()
    assert all(p.grad is not None and np.isfinite(p.grad.numpy()).all() for p in model.parameters())


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_gradient(options):
    check_gradient(small(**options).double(), image(2, 3, 7, 6), tolerance=1e-5)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_files(options, tmp_path):
    model = small(**options)
    nx.save(model, tmp_path / "model.nx")
    x = image(1, 3, 7, 6)
    for got, want in zip(outputs(nx.load(tmp_path / "model.nx")(x)), outputs(model(x)), strict=True):
        assert_same_bits(got, want)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_gradient_checkpointing_has_the_same_bits(options):
    def run(checkpointed):
        model = small(**options)
        x = nx.Tensor(image(2, 3, 9, 7, dtype=np.float32), requires_grad=True)
        if checkpointed:
            with nx.enable_gradient_checkpointing():
                found = outputs(model(x))
        else:
            found = outputs(model(x))
        nx.sum(nx.stack(found) ** 2).backward()
        return [x.grad.numpy(), *(p.grad.numpy() for p in model.parameters())]

    for a, b in zip(run(False), run(True), strict=True):
        assert_same_bits(b, a)


@pytest.mark.parametrize("name", ["attention", "residual", "squeeze_excitation", "deep_supervision"])
def test_flags_are_bools(name):
    for wrong in (1, None, "yes"):
        with pytest.raises(ArgumentError, match=f"UNet: expected {name} True or False, got"):
            small(**{name: wrong})
    assert getattr(small(**{name: True}), name)
    assert not getattr(small(), name)


def test_downsample_is_one_of_two():
    with pytest.raises(ArgumentError, match="UNet: expected downsample one of 'max', 'blur', got 'conv'; pass one of them"):
        small(downsample="conv")


def test_upsample_and_activation_are_of_a_list():
    with pytest.raises(ArgumentError, match="UNet: expected upsample one of 'transposed', 'nearest', 'bilinear', got 'area'"):
        small(upsample="area")
    with pytest.raises(ArgumentError, match="UNet: expected activation one of 'relu', 'leaky_relu', 'silu', 'gelu', got None"):
        small(activation=None)
    with pytest.raises(ArgumentError, match="UNet: expected activation='relu' with residual=True, got 'silu'; leave one out"):
        small(activation="silu", residual=True)


def test_resizing_has_no_weights_and_keeps_the_channels():
    """The level below has 12 channels, its skip 6: nothing brings them to 6 before the convolution."""
    model = small(upsample="nearest")
    assert not [n for n in model.state_dict() if n.startswith("ups")]
    assert model.decoder[1].first[0].in_channels == 6 + 12
    assert [type(m) for m in model.modules() if isinstance(m, nn.LeakyReLU)] == []
    assert len([m for m in small(activation="leaky_relu").modules() if isinstance(m, nn.LeakyReLU)]) == 10


def test_the_default_has_no_other_names():
    names = {n.split(".")[0] for n in small().state_dict()}
    assert names == {"encoder", "bottleneck", "ups", "decoder", "head"}
    more = {n.split(".")[0] for n in small(**OPTIONS["all"]).state_dict()}
    assert more == names | {"gates", "heads", "pools"}


# --- deep supervision


def test_the_first_output_is_that_of_the_model_without():
    plain, supervised = small(), small(deep_supervision=True)
    supervised.load_state_dict(plain.state_dict(), strict=False)
    x = image(1, 3, 9, 7)
    assert_same_bits(supervised(x)[0], plain(x))
    picture = image(9, 7, 3, dtype=np.float32)
    assert_same_bits(nx.predict(supervised, picture), nx.predict(plain, picture))


def test_coarser_outputs_are_resized_logits():
    model = small(deep_supervision=True, final_activation="softmax").double()
    x = image(1, 3, 9, 7)
    second = model(x)[1]
    coarse = model.heads[0](model.get_decoder_features()[1])
    assert coarse.shape == (1, 2, 5, 4)
    want = functional.softmax(functional.interpolate(coarse, size=(9, 7), mode="bilinear"), dim=1)
    assert_same_bits(second, want)
    np.testing.assert_allclose(second.numpy().sum(axis=1), 1, rtol=1e-12)


def test_supervised_outputs_carry_their_logits():
    target = (image(1, 2, 8, 8, dtype=np.float32) > 0).astype(np.float32)
    model = small(deep_supervision=True)
    sum(nn.BCELoss()(y, nx.Tensor(target)) for y in model(image(1, 3, 8, 8, dtype=np.float32))).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_one_level_supervises_itself():
    model = UNet(1, 1, [4], norm=None, deep_supervision=True)
    assert [y.shape for y in model(image(1, 1, 5, 5))] == [(1, 1, 5, 5)]


# --- attention and blocks


def test_gates_that_are_open_change_nothing():
    plain, gated = small(), small(attention=True)
    gated.load_state_dict(plain.state_dict(), strict=False)
    for gate in gated.gates:
        gate.psi[0].weight.assign_(np.zeros(gate.psi[0].weight.shape, np.float32))
        gate.psi[0].bias.assign_(np.full(1, 100, np.float32))
    x = image(1, 3, 9, 7, dtype=np.float32)
    assert_same_bits(gated(x), plain(x))


def test_levels_are_residual_blocks():
    kinds = [m for m in small(residual=True).modules() if isinstance(m, ResidualBlock)]
    assert len(kinds) == 5
    assert not any(isinstance(m, ResidualBlock) for m in small().modules())


# --- an encoder


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("channels", "strides"),
    [([4, 5], [1, 2]), ([4, 5, 6], [2, 4, 8]), ([4, 5], [4, 8]), ([6], [4]), ([4, 5, 6], [2, 4, 4]), ([3, 4], [3, 6])],
)
def test_encoders(channels, strides, size):
    nx.manual_seed(1)
    model = UNet(3, 2, encoder=Halves(channels, strides), norm="group", attention=True, deep_supervision=True)
    found = model(image(2, 3, *size))
    assert {y.shape for y in found} == {(2, 2, *size)}
    assert [f.shape[1] for f in model.get_encoder_features()] == channels
    assert [f.shape[1] for f in model.get_decoder_features()] == model.features
    nx.sum(nx.stack(found)).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_maps_that_were_rounded_down():
    model = UNet(3, 2, encoder=Halves([4, 5], [4, 8], padding=0), norm="group")
    assert model.features == [1, 2, 4]
    assert model(image(1, 3, 23, 17)).shape == (1, 2, 23, 17)
    assert [f.shape[2:] for f in model.get_encoder_features()] == [(5, 4), (2, 2)]


def test_features_of_the_decoder():
    encoder = Halves([4, 5, 6], [2, 4, 8])
    assert UNet(3, 1, encoder=encoder).features == [2, 4, 5]
    assert UNet(3, 1, [8, 16, 32], encoder=encoder).features == [8, 16, 32]
    four = Halves([2, 3, 4, 5], [2, 4, 8, 16])
    assert UNet(3, 1, encoder=four).features == [1, 2, 3, 4]
    assert UNet(3, 1, [64, 128, 256, 512], encoder=four).features == [64, 128, 256, 512]  # as asked, though it is the default
    with pytest.raises(ArgumentError, match=r"UNet: expected 3 features for this encoder, one a level of the decoder, got \[8, 16\]"):
        UNet(3, 1, [8, 16], encoder=encoder)


def test_encoder_gradient():
    model = UNet(3, 2, encoder=Halves([4, 5], [2, 4]), norm="group").double()
    check_gradient(model, image(2, 3, 7, 6), tolerance=1e-5)


def test_encoder_in_a_file(tmp_path):
    model = UNet(3, 2, encoder=Halves([4, 5], [2, 4]), norm="group")
    nx.save(model, tmp_path / "model.nx")
    x = image(1, 3, 7, 6)
    assert_same_bits(nx.load(tmp_path / "model.nx", classes=[Halves])(x), model(x))


def test_encoder_under_checkpointing():
    model = UNet(3, 2, encoder=Halves([4, 5], [2, 4]), norm="group")
    x = nx.Tensor(image(1, 3, 7, 6, dtype=np.float32), requires_grad=True)
    (model(x) ** 2).sum().backward()
    want, x.grad = x.grad.numpy(), None
    with nx.enable_gradient_checkpointing():
        y = model(x)
    (y**2).sum().backward()
    assert_same_bits(x.grad, want)


def test_encoders_that_do_not_fit():
    with pytest.raises(DTypeError, match="UNet: expected encoder as a module or None, got function"):
        UNet(3, 1, encoder=lambda x: [x])
    with pytest.raises(ArgumentError, match=r"UNet: expected encoder.out_channels as a list of integers, got None; assign it"):
        UNet(3, 1, encoder=nn.Module())
    with pytest.raises(ArgumentError, match="UNet: expected downsample='max' with an encoder, got 'blur'"):
        UNet(3, 1, encoder=Halves([4], [2]), downsample="blur")
    with pytest.raises(ArgumentError, match="UNet: expected an encoder of several maps or of a stride above 1"):
        UNet(3, 1, encoder=Halves([4], [1]))
    odd = Halves([4, 5], [2, 4])
    for strides in ([2], [2, 3], [4, 2]):
        odd.strides = strides
        with pytest.raises(ArgumentError, match=r"UNet: expected encoder.strides as 2 integers, each a multiple of the one before"):
            UNet(3, 1, encoder=odd)


def test_encoders_that_said_something_else():
    encoder = Halves([4, 5], [2, 4])
    encoder.strides = [1, 2]
    with pytest.raises(
        ShapeError, match=r"UNet: expected encoder to give maps of \[4, 5\] channels at strides \[1, 2\] of \(16, 16\), got"
    ):
        UNet(3, 1, encoder=encoder)(image(1, 3, 16, 16))
    encoder.forward = lambda x: x
    with pytest.raises(ShapeError, match=r"UNet: expected encoder to give a list of maps \(N, C, H, W\), got shape \(1, 3, 16, 16\)"):
        UNet(3, 1, encoder=encoder)(image(1, 3, 16, 16))


def test_an_encoder_without_strides_doubles():
    encoder = Halves([4, 5], [1, 2])
    del encoder.strides
    assert UNet(3, 1, encoder=encoder)(image(1, 3, 5, 6)).shape == (1, 1, 5, 6)
