# Copyright 2026 The scene_geo_loc authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The decoders: the authors' layers, and the inferred depth."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scene_geo_loc.networks.architecture.decoders import DECODERS
from scene_geo_loc.networks.architecture.decoders.pyramid import ConvLSTM, FullyConvolutional, ReNet
from scene_geo_loc.networks.architecture.decoders.unet import UNet
from scene_geo_loc.networks.architecture.depth_scale import DEPTH_SCALES
from scene_geo_loc.networks.architecture.encoders import ENCODERS

pytestmark = pytest.mark.slow

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
    decoder = UNet(ENCODERS[encoder](), LINEAR)
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
    assert [layer[:3] for layer in layers(UNet(ENCODERS["resnet18"](), LINEAR))][:3] == [
        ("up", 512, 256),
        ("up", 256, 256),
        ("conv", 256, 384),
    ]


def test_narrow_maps_make_a_narrow_decoder() -> None:
    assert sum(p.numel() for p in UNet(ENCODERS["efficientnet_lite0"](), LINEAR).parameters()) < 5e5


@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("size", [(96, 64), (75, 100), (32, 32)])
def test_the_depth_has_the_size_of_the_image_and_lies_between_0_and_1(
    kind: str, name: str, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS[name]().eval()
    decoder = DECODERS[kind](encoder, LINEAR).eval()
    with torch.inference_mode():
        inferred = decoder(encoder(torch.randn(2, 3, *size)), size)
    assert inferred.depth.shape == (2, 1, *size)
    assert inferred.depth.min() > 0
    assert inferred.depth.max() < 1
    assert inferred.log_scale is None


@pytest.mark.parametrize("kind", DECODERS)
def test_the_scale_of_the_error_is_inferred_where_it_is_asked_for(kind: str) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS["efficientnet_lite0"]().eval()
    decoder = DECODERS[kind](encoder, LINEAR, uncertainty=True).eval()
    inferred = decoder(encoder(torch.randn(2, 3, 64, 96)), (64, 96))
    assert inferred.depth.shape == (2, 1, 64, 96)
    assert inferred.log_scale is not None
    assert inferred.log_scale.shape == (2, 1, 64, 96)


@pytest.mark.parametrize("kind", ["fc", "c_lstm"])
def test_pnlp_gives_depth_at_the_levels_of_the_paper(kind: str) -> None:
    encoder = ENCODERS["pnlp"]().eval()
    decoder = DECODERS[kind](encoder, DEPTH_SCALES["inverse"]).eval()
    with torch.inference_mode():
        maps = encoder(torch.zeros(1, 3, 224, 224))
        levels = decoder.logits(maps)
        inferred = decoder(maps, (224, 224))
    assert [level.shape[2:] for level in levels] == [(14, 14), (28, 28), (56, 56)]
    assert [level.shape[2:] for level in inferred.coarser] == [(14, 14), (28, 28)]


def test_lstms_stand_where_fc_has_convolutions_and_are_lighter() -> None:
    encoder = ENCODERS["pnlp"]()
    fc = FullyConvolutional(encoder, LINEAR)
    lstm = ConvLSTM(encoder, LINEAR)
    assert sum(isinstance(layer, ReNet) for layer in lstm.modules()) == len(fc.levels) == 2
    assert sum(p.numel() for p in lstm.parameters()) < 0.9 * sum(p.numel() for p in fc.parameters())


def test_a_cell_of_renet_sees_its_row_and_its_column_and_nothing_else() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 3, 5, 7, requires_grad=True)
    ReNet(3, 8)(x)[0, :, 2, 4].sum().backward()
    assert x.grad is not None
    seen = x.grad[0].abs().sum(dim=0) > 0
    wanted = torch.zeros(5, 7, dtype=torch.bool)
    wanted[2], wanted[:, 4] = True, True
    assert torch.equal(seen, wanted)


@pytest.mark.parametrize("scale", DEPTH_SCALES)
@pytest.mark.parametrize("kind", DECODERS)
def test_depth_begins_about_where_most_of_a_scene_is(kind: str, scale: str) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS["efficientnet_lite0"]().eval()
    with torch.inference_mode():
        maps = encoder(torch.randn(1, 3, 64, 64))
        inferred = DECODERS[kind](encoder, DEPTH_SCALES[scale])(maps, (64, 64))
    typical_m = DEPTH_SCALES[scale].typical_m
    assert DEPTH_SCALES[scale].metres(inferred.depth).median().item() == pytest.approx(typical_m, rel=0.6)


@pytest.mark.parametrize("kind", DECODERS)
def test_a_decoder_learns_the_depth_of_what_it_sees(kind: str) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS["efficientnet_lite0"]().eval()
    decoder = DECODERS[kind](encoder, LINEAR)
    with torch.no_grad():
        maps = encoder(torch.randn(2, 3, 64, 64))
    # Near below, far above: as a street.
    wanted = torch.linspace(1, 0.1, 64)[:, None].expand(2, 1, 64, 64)
    optimiser = torch.optim.Adam(decoder.parameters(), lr=0.03 if kind == "unet" else 0.003)
    losses = []
    for _ in range(60):
        loss = (decoder(maps, (64, 64)).depth - wanted).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] > 0.2
    assert losses[-1] < 0.06
