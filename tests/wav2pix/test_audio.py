"""Speech is read from any sound file, and what is none is refused with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from wav2pix.audio import load_speech, read_sound, to_int16
from wav2pix.errors import AudioError


def _tone(seconds: float, rate: int, hz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)


def test_sixteen_bit_samples_come_back_unchanged(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, 16000).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    speech = load_speech(tmp_path / "a.wav")
    assert speech.dtype == np.float32
    assert (to_int16(speech) == samples).all()


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_another_rate_and_format_is_resampled_to_the_same_sound(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, _tone(1.0, 44100), 44100)
    speech = load_speech(tmp_path / name)
    assert abs(len(speech) - 16000) < 1500  # lossy formats add a little silence
    middle = np.abs(np.fft.rfft(speech[4000:12000]))
    assert middle.argmax() * 2 == pytest.approx(440, abs=2)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left = _tone(0.5, 16000)
    soundfile.write(tmp_path / "a.wav", np.stack([left, -left], axis=1), 16000)
    assert np.abs(load_speech(tmp_path / "a.wav")).max() < 1e-3
    assert read_sound(tmp_path / "a.wav").num_channels == 2


def test_float_samples_beyond_full_scale_are_limited(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(100, 3.0), 16000, subtype="FLOAT")
    assert to_int16(load_speech(tmp_path / "a.wav")).tolist() == [32767] * 100


def test_a_wav_written_to_a_pipe_is_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", _tone(0.5, 16000), 16000)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[40:44] = b"\xff\xff\xff\xff"  # the size of the sound is not known when the header is written
    (tmp_path / "a.wav").write_bytes(content)
    assert len(load_speech(tmp_path / "a.wav")) == 8000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        (b"", "the file is empty"),
        (b"this is a text and no sound at all", "no sound that can be read"),
        ("no samples", "holds no sound"),
        ("cut", "cut off, 8000 bytes of sound are missing"),
        ("not a number", "not numbers"),
    ],
)
def test_what_is_no_sound_is_refused_with_the_file_and_the_reason(
    tmp_path: Path, content: bytes | str | None, reason: str
) -> None:
    path = tmp_path / "a.wav"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "no samples":
        soundfile.write(path, np.zeros(0), 16000)
    elif content == "cut":
        soundfile.write(path, _tone(1.0, 16000), 16000)
        path.write_bytes(path.read_bytes()[:-8000])
    elif content == "not a number":
        soundfile.write(path, np.full(100, np.nan), 16000, subtype="FLOAT")
    with pytest.raises(AudioError) as error:
        load_speech(path)
    assert str(path) in str(error.value)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="cannot be read"):
        load_speech(tmp_path)
