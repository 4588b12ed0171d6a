"""The networks, built from a configuration."""

from __future__ import annotations

from torch import Tensor, nn

from wav2pix.config import (
    ConcatenationDiscriminatorConfig,
    PooledEncoderConfig,
    SeganEncoderConfig,
    TrainConfig,
    TransposedGeneratorConfig,
    UpsamplingGeneratorConfig,
)
from wav2pix.errors import ConfigError
from wav2pix.models.heads import IdentityHead
from wav2pix.models.modern import PooledEncoder, ProjectionDiscriminator, UpsamplingGenerator, num_stages
from wav2pix.models.paper import ConcatenationDiscriminator, SeganEncoder, TransposedGenerator
from wav2pix.speech import prepare_speech

SAMPLE_RATE_HZ = 16000


class Wav2Pix(nn.Module):
    """Everything on the generator's side: speech in, face out, and a guess at who speaks.

    Attributes:
        config: what it was built from.
        identities: names of the classes of the identity head, in order.
    """

    def __init__(self, config: TrainConfig, identities: tuple[str, ...]) -> None:
        super().__init__()
        self.config = config
        self.identities = identities
        self.encoder = _build_encoder(config)
        self.generator = _build_generator(config)
        self.identity_head = IdentityHead(config.embedding_size, len(identities), config.identity_head.hidden)

    @property
    def window_samples(self) -> int:
        """Samples of speech that one face is drawn from."""
        return window_samples(self.config)

    def embed(self, speech: Tensor) -> Tensor:
        """(B, T) raw samples, integer or float, to (B, E) embeddings."""
        prepared = prepare_speech(
            speech,
            quantisation=self.config.speech_quantisation,
            preemphasis=self.config.speech_preemphasis,
        )
        embedding: Tensor = self.encoder(prepared)
        return embedding

    def forward(self, speech: Tensor) -> Tensor:
        """(B, T) raw samples to (B, 3, S, S) faces in [-1, 1], RGB."""
        faces: Tensor = self.generator(self.embed(speech))
        return faces


def window_samples(config: TrainConfig) -> int:
    """Samples of speech that one face is drawn from."""
    return round(config.speech_window_s * SAMPLE_RATE_HZ)


def build_discriminator(config: TrainConfig) -> nn.Module:
    """The discriminator: (faces, embedding) to (scores, features)."""
    settings = config.discriminator
    if isinstance(settings, ConcatenationDiscriminatorConfig):
        if settings.channels is not None:
            _check_channels("discriminator.channels", settings.channels, num_stages(config.image_size))
        return ConcatenationDiscriminator(config.image_size, config.embedding_size, settings.channels)
    return ProjectionDiscriminator(config.image_size, settings.channels, config.embedding_size)


def _build_encoder(config: TrainConfig) -> nn.Module:
    settings = config.encoder
    if isinstance(settings, SeganEncoderConfig):
        return SeganEncoder(window_samples(config), config.embedding_size)
    assert isinstance(settings, PooledEncoderConfig)
    return PooledEncoder(settings.channels, config.embedding_size, settings.norm)


def _build_generator(config: TrainConfig) -> nn.Module:
    settings = config.generator
    if isinstance(settings, TransposedGeneratorConfig):
        return TransposedGenerator(config.image_size, config.embedding_size, settings.dropout)
    assert isinstance(settings, UpsamplingGeneratorConfig)
    _check_channels("generator.channels", settings.channels, num_stages(config.image_size) + 1)
    return UpsamplingGenerator(config.image_size, settings.channels, config.embedding_size, settings.noise_size)


def _check_channels(key: str, channels: tuple[int, ...], needed: int) -> None:
    if len(channels) < needed:
        raise ConfigError(key, f"'{key}' has {len(channels)} widths; this image_size needs {needed}")
