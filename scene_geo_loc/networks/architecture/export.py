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

"""Export: a scene network as the ONNX graph that robots run, or that other run times read."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from scene_geo_loc.networks.architecture.onnx_graph import onnx_graph
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.forward_pass import Part, Signature
from scene_geo_loc.networks.inference_network import InferenceNetwork, weights_digest

DESCRIPTOR = "global_descriptor"


class ForwardPass(nn.Module):
    """The forward pass of a network, from pixels to all outputs, with batch norms merged.

    It holds copies of the weights: later training or fitting of the network does not change them.

    Args:
        network: the network.
        describes: whether it gives the global descriptor (B, D) of a fitted network instead of the late maps.

    Attributes:
        signature: describes the outputs.
        outputs: their names.
    """

    def __init__(self, network: SceneNetwork, describes: bool = False) -> None:
        super().__init__()
        self._network = copy.deepcopy(network).eval()
        fuse_batch_norms(self._network)
        self._describes = describes
        self.signature = signature_of(network)
        self.outputs = self.signature.outputs
        if describes:
            late = len(self.signature.parts)
            self.outputs = (*self.outputs[:2], DESCRIPTOR, *self.outputs[1 + late :])

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Returns the outputs for images (B, H, W, 3) in [0, 255]."""
        network = self._network
        images = network.normalise(pixels.float())
        coarse = network.coarse(images)
        maps = network.encoder(coarse)
        inferred = network.descriptor.infer(coarse, maps)
        late = [late_map.permute(0, 2, 3, 1) for late_map in inferred.late]
        local = network.local_features(images, maps)
        outputs = [local.features.permute(0, 2, 3, 1), *late]
        if self._describes:
            outputs[2:] = [network.describe(inferred.late, local)]
        if local.keypoint_scores is not None:
            outputs.append(local.keypoint_scores)
        if inferred.depth is not None:
            scale, depth = network.depth_scale, inferred.depth[:, 0]
            outputs.append(scale.metres(depth))
            if inferred.log_scale is not None:
                farther = (depth + inferred.log_scale[:, 0].exp()).clamp(max=1)
                outputs.append(scale.metres(farther) - outputs[-1])
        return tuple(outputs)


def signature_of(network: SceneNetwork) -> Signature:
    """Returns the description of a network's forward pass."""
    system, head = network.descriptor, network.local_features
    tensors = {key: value.cpu().numpy() for key, value in network.state_dict().items()}
    return Signature(
        local_features=head.stage,
        sees_around=head.sees_around,
        finds_keypoints=head.finds_keypoints,
        parts=tuple(
            Part(stage=encoder.late.enlarged(head.reduction), netvlad_sharpness=encoder.netvlad_sharpness)
            for encoder in network.encoders
        ),
        describes_keypoints=network.config.describes_keypoints,
        multiple=network.config.multiple,
        input_area=head.input_area,
        max_depth_m=network.depth_scale.max_m if system.infers_depth else None,
        has_depth_error=network.config.uncertainty,
        name_without_depth=system.without_depth,
        weights_sha256=weights_digest(tensors),
    )


def inference_network(network: SceneNetwork) -> InferenceNetwork:
    """Returns a network as a robot runs it."""
    tensors = {key: value.detach().cpu().numpy().copy() for key, value in network.state_dict().items()}
    if not network.is_fitted:
        tensors = {key: value for key, value in tensors.items() if not key.startswith("projection.")}
    forward = ForwardPass(network).cpu()
    # Any size does: height and width are free in the graph.
    side = 2 * network.config.multiple
    pixels = torch.zeros(1, side, side, 3, dtype=torch.uint8)
    graph = onnx_graph(forward, pixels, forward.outputs, is_fixed=False)
    return InferenceNetwork(network.config.model_dump(), forward.signature, graph, tensors)


def export_onnx(network: SceneNetwork, path: Path) -> tuple[str, ...]:
    """Writes a network as one ONNX file of fixed shapes, and returns the names of its outputs.

    The input `image` (1, H, W, 3) float32 is RGB in [0, 255] at the size of the network's input.  The outputs
    are those of `Signature`, for one image; a fitted network gives `global_descriptor` (1, D) instead of the
    late maps but the first.
    """
    forward = ForwardPass(network, describes=network.is_fitted).cpu()
    pixels = torch.zeros(1, network.config.input_height, network.config.input_width, 3)
    path.write_bytes(onnx_graph(forward, pixels, forward.outputs, is_fixed=True))
    return forward.outputs


def fuse_batch_norms(module: nn.Module) -> None:
    """Merges each batch norm into the convolution declared just before it; the outputs stay the same."""
    for parent in list(module.modules()):
        before, name_before = None, ""
        for name, child in list(parent.named_children()):
            if isinstance(before, nn.Conv2d | nn.ConvTranspose2d) and isinstance(child, nn.BatchNorm2d):
                transposed = isinstance(before, nn.ConvTranspose2d)
                setattr(parent, name_before, fuse_conv_bn_eval(before, child, transpose=transposed))
                setattr(parent, name, nn.Identity())
            before, name_before = child, name
