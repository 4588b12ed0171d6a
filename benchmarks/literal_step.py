"""A training step in the order and with the layers of the original: what ``train_step.py`` compares with.

Written from the description in the paper and from what is known of the original's step: plain layers in their
default memory layout, a generator that runs twice and a discriminator that runs five times a step, and a
discriminator step whose gradient goes on into the generator, where it is thrown away.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SPEECH_CHANNELS = (1, 16, 32, 128, 256, 512, 1024)
FACE_CHANNELS = {64: (64, 128, 256, 512), 128: (64, 128, 256, 512, 1024)}


class SpectralNorm(nn.Module):
    """Divides the weight of a convolution by its largest singular value before each use."""

    u: Tensor
    v: Tensor

    def __init__(self, module: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.module = module
        weight = module.weight
        del module._parameters["weight"]
        self.weight = nn.Parameter(weight.detach().normal_(0.0, 0.02))
        matrix = weight.flatten(1)
        self.register_buffer("u", F.normalize(torch.randn(matrix.shape[0]), dim=0))
        self.register_buffer("v", F.normalize(torch.randn(matrix.shape[1]), dim=0))

    def forward(self, maps: Tensor) -> Tensor:
        matrix = self.weight.view(self.weight.shape[0], -1)
        with torch.no_grad():
            self.v = F.normalize(matrix.t().mv(self.u), dim=0)
            self.u = F.normalize(matrix.mv(self.v), dim=0)
        sigma = self.u.dot(matrix.mv(self.v))
        self.module.weight = self.weight / sigma.expand_as(self.weight)
        result: Tensor = self.module(maps)
        return result


class Generator(nn.Module):
    """Speech (B, T) to faces, embedding and logits."""

    def __init__(self, image_size: int, num_identities: int) -> None:
        super().__init__()
        speech: list[nn.Module] = []
        for below, above in pairwise(SPEECH_CHANNELS):
            speech += [
                nn.ConstantPad1d((6, 7), 0.0),
                nn.Conv1d(below, above, 15, stride=4),
                nn.BatchNorm1d(above),
                nn.LeakyReLU(0.3),
            ]
        self.speech = nn.Sequential(*speech)
        self.embed = nn.Sequential(
            nn.Linear(4096, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 128)
        )
        widths = (128, *reversed(FACE_CHANNELS[image_size]), 3)
        faces: list[nn.Module] = []
        for index, (below, above) in enumerate(pairwise(widths)):
            stride, padding = (2, 1) if index else (1, 0)
            faces += [SpectralNorm(nn.ConvTranspose2d(below, above, 4, stride, padding, bias=False))]
            faces += [nn.Dropout(0.5), nn.ReLU()] if above != 3 else [nn.Tanh()]
        self.faces = nn.Sequential(*faces)
        self.identity = nn.Sequential(
            nn.Linear(128, 200),
            nn.BatchNorm1d(200),
            nn.LeakyReLU(0.2),
            nn.Linear(200, num_identities),
            nn.BatchNorm1d(num_identities),
        )

    def forward(self, speech: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        embedding = self.embed(self.speech(speech[:, None]).flatten(1))
        return self.faces(embedding[:, :, None, None]), embedding, self.identity(embedding)


class Discriminator(nn.Module):
    """Faces and embeddings to scores (B,) and the last feature map (B, C, 4, 4)."""

    def __init__(self, image_size: int) -> None:
        super().__init__()
        widths = (3, *FACE_CHANNELS[image_size])
        layers: list[nn.Module] = []
        for below, above in pairwise(widths):
            layers += [SpectralNorm(nn.Conv2d(below, above, 4, 2, 1, bias=False)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.score = nn.Conv2d(widths[-1] + 128, 1, 4, bias=False)

    def forward(self, faces: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.layers(faces)
        tiled = embedding[:, :, None, None].repeat(1, 1, 4, 4)
        return self.score(torch.cat([maps, tiled], 1)).flatten(), maps


class LiteralStep:
    """The two networks, their optimisers, and the step."""

    def __init__(self, image_size: int, num_identities: int) -> None:
        self.generator = Generator(image_size, num_identities)
        self.discriminator = Discriminator(image_size)
        for module in (*self.generator.modules(), *self.discriminator.modules()):
            if isinstance(module, nn.Conv1d):
                nn.init.normal_(module.weight, 0.0, 0.02)
            elif isinstance(module, nn.BatchNorm1d):
                nn.init.normal_(module.weight, 1.0, 0.02)
        self.generator_adam = _adam(self.generator, 1e-4)
        self.discriminator_adam = _adam(self.discriminator, 4e-4)

    def run(self, speech: Tensor, faces: Tensor, wrong_faces: Tensor, identities: Tensor) -> None:
        """One update of each network. Speech is (B, 16000), already normalised."""
        self.discriminator_adam.zero_grad(set_to_none=False)
        fake, embedding, _ = self.generator(speech)
        real_score, _ = self.discriminator(faces, embedding)
        wrong_score, _ = self.discriminator(wrong_faces, embedding)
        fake_score, _ = self.discriminator(fake, embedding)
        loss = _squared(real_score, 0.9) + _squared(wrong_score, 0.0) + _squared(fake_score, 0.0)
        loss.backward()
        self.discriminator_adam.step()

        self.generator_adam.zero_grad(set_to_none=False)
        fake, embedding, logits = self.generator(speech)
        score, fake_maps = self.discriminator(fake, embedding)
        _, real_maps = self.discriminator(faces, embedding)
        loss = (
            _squared(score, 1.0)
            + 100 * F.mse_loss(fake_maps.mean(0), real_maps.mean(0).detach())
            + 50 * F.l1_loss(fake, faces)
            + 20 * F.cross_entropy(logits, identities)
        )
        loss.backward()
        self.generator_adam.step()


def _squared(score: Tensor, target: float) -> Tensor:
    return F.mse_loss(score, torch.full_like(score, target))


def _adam(network: nn.Module, rate: float) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), rate, (0.5, 0.999), foreach=False, fused=False)
