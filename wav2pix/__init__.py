"""Wav2Pix: faces drawn from raw speech (Duarte et al., ICASSP 2019)."""
