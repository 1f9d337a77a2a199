"""The decoder: the authors' layers, and the depth that it gives."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scene_geo_loc.networks.decoder import Decoder
from scene_geo_loc.networks.depth_scale import DEPTH_SCALES
from scene_geo_loc.networks.encoders import ENCODERS

LINEAR = DEPTH_SCALES["linear"]


def layers(decoder: nn.Module) -> list[tuple[str, int, int, int, int]]:
    """Kind, channels in and out, kernel and stride of each convolution, in the order in which they run."""
    return [
        (
            "up" if isinstance(layer, nn.ConvTranspose2d) else "conv",
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size[0],
            layer.stride[0],
        )
        for layer in decoder.modules()
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
    ]


@pytest.mark.parametrize(
    ("encoder", "second", "millions"), [("alexnet", 192, 3.0), ("resnet18_truncated", 128, 2.6)]
)
def test_the_layers_are_the_authors(encoder: str, second: int, millions: float) -> None:
    decoder = Decoder(ENCODERS[encoder](), LINEAR)
    assert layers(decoder) == [
        ("up", 256, 256, 4, 2),
        ("conv", 256, 384, 3, 1),
        ("conv", 384, second, 3, 1),
        ("up", 2 * second, 64, 4, 2),
        ("up", 128, 1, 6, 2),
        ("up", 1, 1, 6, 2),
    ]
    # As the authors' decoders have, by the layers of their published code.
    assert round(sum(p.numel() for p in decoder.parameters()) / 1e6, 1) == millions


def test_a_late_map_of_half_the_resolution_takes_one_more_doubling() -> None:
    assert [layer[:3] for layer in layers(Decoder(ENCODERS["resnet18"](), LINEAR))][:3] == [
        ("up", 512, 256),
        ("up", 256, 256),
        ("conv", 256, 384),
    ]


def test_narrow_maps_make_a_narrow_decoder() -> None:
    assert sum(p.numel() for p in Decoder(ENCODERS["efficientnet_lite0"](), LINEAR).parameters()) < 5e5


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("size", [(224, 224), (96, 64), (75, 100), (32, 32)])
def test_the_depth_has_the_size_of_the_image_and_lies_between_0_and_1(
    name: str, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS[name]().eval()
    decoder = Decoder(encoder, LINEAR).eval()
    with torch.inference_mode():
        inferred = decoder(encoder(torch.randn(2, 3, *size)), size)
    assert inferred.depth.shape == (2, 1, *size)
    assert inferred.depth.min() > 0
    assert inferred.depth.max() < 1
    assert inferred.log_scale is None


def test_the_scale_of_the_error_is_inferred_where_it_is_asked_for() -> None:
    torch.manual_seed(0)
    encoder = ENCODERS["efficientnet_lite0"]().eval()
    inferred = Decoder(encoder, LINEAR, uncertainty=True).eval()(encoder(torch.randn(2, 3, 64, 96)), (64, 96))
    assert inferred.depth.shape == (2, 1, 64, 96)
    assert inferred.log_scale is not None
    assert inferred.log_scale.shape == (2, 1, 64, 96)


def test_a_decoder_learns_the_depth_of_what_it_sees() -> None:
    torch.manual_seed(0)
    encoder = ENCODERS["efficientnet_lite0"]().eval()
    decoder = Decoder(encoder, LINEAR)
    with torch.no_grad():
        maps = encoder(torch.randn(2, 3, 64, 64))
    # Near below, far above: as a street.
    wanted = torch.linspace(1, 0.1, 64)[:, None].expand(2, 1, 64, 64)
    optimiser = torch.optim.Adam(decoder.parameters(), lr=0.03)
    losses = []
    for _ in range(60):
        loss = (decoder(maps, (64, 64)).depth - wanted).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] > 0.2
    assert losses[-1] < 0.06
