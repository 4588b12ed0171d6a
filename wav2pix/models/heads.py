"""Classifier of identities on the speech embedding."""

from __future__ import annotations

from torch import Tensor, nn


class IdentityHead(nn.Module):
    """Logits of the speaker's identity, from the speech embedding alone.

    Args:
        embedding_size: length of the embedding.
        num_identities: number of classes.
        hidden: units of the hidden layer; 200 is the paper's head (linear, BatchNorm, LeakyReLU 0.2, linear,
            BatchNorm), 0 is one linear layer.
    """

    def __init__(self, embedding_size: int, num_identities: int, hidden: int) -> None:
        super().__init__()
        if hidden:
            self.layers = nn.Sequential(
                nn.Linear(embedding_size, hidden),
                nn.BatchNorm1d(hidden),
                nn.LeakyReLU(0.2),
                nn.Linear(hidden, num_identities),
                nn.BatchNorm1d(num_identities),
            )
        else:
            self.layers = nn.Sequential(nn.Linear(embedding_size, num_identities))
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, 0.0, 0.02)
                nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.BatchNorm1d):
                nn.init.normal_(layer.weight, 1.0, 0.02)

    def forward(self, embedding: Tensor) -> Tensor:
        """(B, E) to logits (B, num_identities)."""
        logits: Tensor = self.layers(embedding)
        return logits
