"""A custom node that is none: CheckpointLoaderSimple gives networks of a few kilobytes, whatever file it is asked for.

The model is a U-Net of Stable Diffusion's own kind with weights of zero, the text encoder hears nothing, and the VAE
answers with the image that IMAGE_OF_THE_STAND_IN names.
"""

import os

import numpy as np
import torch
from comfy import model_management, model_patcher, supported_models
from PIL import Image

from nodes import CheckpointLoaderSimple

NODE_CLASS_MAPPINGS: dict = {}
WIDTHS = {"image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1],
          "channel_mult": [1], "transformer_depth": [0], "transformer_depth_middle": -1,
          "transformer_depth_output": [0, 0], "dtype": torch.float32}  # fmt: skip


class Deaf:
    """In the place of CLIP."""

    def tokenize(self, text):
        return text

    def encode_from_tokens_scheduled(self, tokens):
        return [[torch.zeros(1, 77, 8), {"pooled_output": None}]]


class Painter:
    """In the place of a VAE."""

    def decode(self, latent):
        assert latent.isfinite().all()
        image = Image.open(os.environ["PICTURE_OF_THE_STAND_IN"]).convert("RGB")
        image = image.resize((latent.shape[-1] * 8, latent.shape[-2] * 8))
        return torch.from_numpy(np.array(image)).float()[None] / 255


def load_checkpoint(self, ckpt_name):
    net = supported_models.SD15(WIDTHS).get_model({})
    for weight in net.parameters():  # core leaves them as the memory was
        weight.data.zero_()
    return model_patcher.ModelPatcher(net, model_management.get_torch_device(), torch.device("cpu")), Deaf(), Painter()


CheckpointLoaderSimple.load_checkpoint = load_checkpoint
