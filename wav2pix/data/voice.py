"""Synthetic voices: a glottal source and noise through the resonances of a vocal tract.

The usual source-filter model of speech (Klatt, "Software for a cascade/parallel formant synthesizer", 1980; the
glottal pulse is the polynomial of Klatt and Klatt, 1990). An identity sets the fundamental, the length of the
tract, how the voice is used and how fast it speaks; a recording sets what is said, the room and the microphone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wav2pix.data.exact import Array, Stream, between, cosine, exponential, sine, smooth, spread

LOW_VOICE_HZ = 145.0  # a fundamental below it may come with a beard
SAMPLE_RATE_HZ = 16000
FRAMES_PER_S = 200
_SAMPLES_PER_FRAME = SAMPLE_RATE_HZ // FRAMES_PER_S
LEAD_FRAMES = 20  # each second is filtered from 100 ms before it, so that no window starts from rest

# First three resonances of ten vowels, in Hz, for a tract of average length.
_VOWELS = (
    (280, 2250, 2950), (390, 1990, 2600), (530, 1840, 2500), (660, 1720, 2420), (720, 1150, 2450),
    (590, 900, 2430), (440, 1020, 2250), (310, 880, 2260), (640, 1200, 2400), (490, 1350, 1700),
)  # fmt: skip
_BANDWIDTHS_HZ = (70.0, 90.0, 130.0, 200.0, 260.0, 900.0)


@dataclass(frozen=True)
class Voice:
    """What is the same in every recording of a speaker.

    Attributes:
        f0_hz: usual fundamental.
        range: swing of the melody, as a share of the fundamental.
        tract: all resonances are multiplied by it; above 1 is a short vocal tract.
        bend: (5,) factors of the single resonances.
        levels: (5,) strength of the single resonances.
        open_quotient: share of a period in which the glottis is open.
        breath: level of aspiration noise.
        jitter: irregularity of the fundamental.
        vibrato: depth, as a share.
        syllables_per_s: speaking rate.
    """

    f0_hz: float
    range: float
    tract: float
    bend: tuple[float, ...]
    levels: tuple[float, ...]
    open_quotient: float
    breath: float
    jitter: float
    vibrato: float
    syllables_per_s: float


@dataclass(frozen=True)
class Score:
    """What is said in a recording, at 200 frames a second from 100 ms before its start.

    All (frames,), formants (frames, 3): fundamental in Hz, resonances in Hz before the tract's factor, levels
    of voicing, breath and friction, centre of the friction in Hz, and opening of the mouth in [0, 1].
    """

    f0_hz: Array
    formants_hz: Array
    voicing: Array
    breath: Array
    friction: Array
    friction_hz: Array
    opening: Array


def make_voice(seed: int, identity: int) -> Voice:
    """The voice of an identity; those of one seed are spread over what voices can be."""
    own = Stream(seed, identity, 1)
    offsets = Stream(seed, 1).uniform(0, 1, 4).tolist()
    steps = (0.6180339887, 0.7548776662, 0.4142135624, 0.3027756377)
    pitch, length, rate, use = (spread(identity, *start) for start in zip(offsets, steps, strict=True))
    octaves = float(exponential(np.array([0.693147 * 1.35 * pitch]))[0])
    falling = between(0.75, 1.25, use)
    return Voice(
        f0_hz=88.0 * octaves,
        range=own.number(0.12, 0.3),
        tract=between(0.82, 1.2, 0.4 * pitch + 0.6 * length),
        bend=tuple(own.uniform(0.94, 1.06, 5).tolist()),
        levels=tuple(
            level * own.number(0.7, 1.4) * (falling if place % 2 else 2 - falling)
            for place, level in enumerate((1.0, 0.7, 0.4, 0.28, 0.16))
        ),
        open_quotient=between(0.45, 0.75, use),
        breath=between(0.015, 0.09, own.number(0, 1)),
        jitter=own.number(0.004, 0.02),
        vibrato=own.number(0.0, 0.02),
        syllables_per_s=between(2.8, 5.6, rate),
    )


def make_score(voice: Voice, seconds: int, stream: Stream) -> Score:
    """Phrases of syllables, each a consonant and a vowel, with pauses and a melody."""
    frames = seconds * FRAMES_PER_S + LEAD_FRAMES
    track = {name: np.zeros(frames) for name in ("voicing", "breath", "friction", "opening", "accent")}
    track |= {"friction_hz": np.full(frames, 4000.0), "formants_hz": np.full((frames, 3), 500.0)}
    start, phrase_end = 0, 0
    while start < frames:
        if start >= phrase_end:
            phrase_end = start + stream.index(300) + 250
            pause = stream.index(45) + 15
            start += pause if start else 0
        length = max(18, int(FRAMES_PER_S / voice.syllables_per_s * stream.number(0.7, 1.35)))
        onset = start + int(length * stream.number(0.15, 0.35))
        end = start + length
        vowel = _VOWELS[stream.index(len(_VOWELS))]
        track["formants_hz"][start:end] = vowel
        track["voicing"][onset:end] = stream.number(0.75, 1.0)
        track["breath"][onset:end] = 1.0
        track["opening"][onset:end] = min(1.0, (vowel[0] - 200) / 450)
        track["accent"][start:end] = stream.number(-0.6, 1.0)
        _consonant(stream, slice(start, onset), track)
        start = end
    time_s = np.arange(frames) * (1 / FRAMES_PER_S)
    wave = sine(time_s * stream.number(4.5, 6.0) + stream.number(0, 1)) * voice.vibrato
    drift = sine(time_s * stream.number(0.15, 0.3) + stream.number(0, 1)) * 0.06
    melody = smooth(track["accent"], 24) * voice.range + wave + drift
    melody += stream.uniform(-1.7, 1.7, frames) * voice.jitter
    return Score(
        f0_hz=(melody + 1) * (voice.f0_hz * stream.number(0.95, 1.05)),
        formants_hz=smooth(track["formants_hz"], 9),
        voicing=smooth(track["voicing"], 5),
        breath=smooth(track["breath"], 5),
        friction=smooth(track["friction"], 4),
        friction_hz=track["friction_hz"],
        opening=smooth(track["opening"], 12),
    )


def _consonant(stream: Stream, span: slice, track: dict[str, Array]) -> None:
    """One of: hiss, burst after a closure, hum through the nose, or nothing but the vowel from its start."""
    kind = stream.index(10)
    if kind < 4:
        track["friction"][span] = stream.number(0.15, 0.5)
        track["friction_hz"][span] = stream.number(2400, 6400)
        track["opening"][span] = 0.1
        if kind == 0:
            track["voicing"][span] = 0.25
    elif kind < 6:
        burst = slice(max(span.start, span.stop - 4), span.stop)
        track["friction"][burst] = stream.number(0.4, 0.8)
        track["friction_hz"][burst] = stream.number(1500, 4500)
    elif kind < 9:
        track["formants_hz"][span] = (270, stream.number(950, 1600), 2300)
        track["voicing"][span] = 0.4
        track["opening"][span] = 0.15
    else:
        track["voicing"][span] = 0.8


def speak(voice: Voice, scores: list[Score], streams: list[Stream]) -> list[npt.NDArray[np.int16]]:
    """The sound of each recording of a speaker.

    Args:
        voice: the speaker.
        scores: one for each recording.
        streams: random numbers for each recording: its noise, room, microphone and level.

    Returns:
        For each recording (seconds, 16000) int16.
    """
    seconds = [(len(score.f0_hz) - LEAD_FRAMES) // FRAMES_PER_S for score in scores]
    lanes = _lanes(scores, seconds)
    samples = len(lanes.f0_hz) * _SAMPLES_PER_FRAME
    noise = np.concatenate(
        [s.uniform(-1, 1, (samples, count)) for s, count in zip(streams, seconds, strict=True)], 1
    )
    sound = _resonate(voice, lanes, *_excite(voice, lanes, noise))
    ends = np.cumsum(seconds).tolist()
    return [
        _record(sound[:, end - count : end], stream)
        for end, count, stream in zip(ends, seconds, streams, strict=True)
    ]


def _lanes(scores: list[Score], seconds: list[int]) -> Score:
    """The scores cut into seconds side by side: (frames of a second with its lead, seconds in all)."""

    def cut(name: str) -> Array:
        parts = []
        for score, count in zip(scores, seconds, strict=True):
            track: Array = getattr(score, name)
            for second in range(count):
                first = second * FRAMES_PER_S
                parts.append(track[first : first + FRAMES_PER_S + LEAD_FRAMES])
        return np.stack(parts, axis=1)

    return Score(**{name: cut(name) for name in Score.__dataclass_fields__})


def _excite(voice: Voice, lanes: Score, noise: Array) -> tuple[Array, Array]:
    """The source of voiced sound and breath, and that of friction: two of (samples, lanes)."""
    phase = np.cumsum(_per_sample(lanes.f0_hz * (1 / SAMPLE_RATE_HZ)), axis=0)
    phase -= np.floor(phase)
    opened = phase < voice.open_quotient
    share = phase * (1 / voice.open_quotient)
    flow = np.where(opened, share * (2 - 3 * share), 0.0)  # derivative of share**2 - share**3
    air = noise * np.where(opened, 1.0, 0.35) * voice.breath
    source = flow * _per_sample(lanes.voicing) + air * _per_sample(lanes.breath)
    return source, noise * _per_sample(lanes.friction) * 0.5


def _per_sample(frames: Array) -> Array:
    return np.repeat(frames, _SAMPLES_PER_FRAME, axis=0)


def _resonate(voice: Voice, lanes: Score, source: Array, friction: Array) -> Array:
    """Five resonances in parallel and a sixth for friction, their frequencies set anew every 5 ms.

    The loop runs over time and each step over all seconds at once, because a filter of a library may round
    differently on another processor.
    """
    frames, count = lanes.f0_hz.shape
    centres = np.empty((frames, 6, count))
    upper = (3450.0, 4400.0)
    for place in range(5):
        base = lanes.formants_hz[:, :, place] if place < 3 else np.full((frames, count), upper[place - 3])
        centres[:, place] = base * (voice.tract * voice.bend[place])
    centres[:, 5] = lanes.friction_hz
    turns = np.minimum(centres, 7200.0) * (1 / SAMPLE_RATE_HZ)
    radius = exponential(np.array(_BANDWIDTHS_HZ) * (-3.14159265 / SAMPLE_RATE_HZ))[:, None]
    levels = np.array((*voice.levels, 0.8))[:, None] * np.array((1, -1, 1, -1, 1, 1))[:, None]
    gain = sine(turns) * (2 * (1 - radius)) * levels
    first, second = cosine(turns) * (2 * radius), -radius * radius
    before, last, driven, out = (np.zeros((6, count)) for _ in range(4))
    sound = np.empty_like(source)
    bank = np.empty((_SAMPLES_PER_FRAME, 6, count))
    for frame in range(frames):
        start = frame * _SAMPLES_PER_FRAME
        for step in range(_SAMPLES_PER_FRAME):
            np.multiply(gain[frame, :5], source[start + step], out=driven[:5])
            np.multiply(gain[frame, 5], friction[start + step], out=driven[5])
            np.multiply(before, second, out=out)
            np.add(out, driven, out=driven)
            np.multiply(last, first[frame], out=out)
            np.add(out, driven, out=bank[step])
            before, last = last, bank[step]
        total = sound[start : start + _SAMPLES_PER_FRAME]
        np.add(bank[:, 0], bank[:, 1], out=total)
        for place in range(2, 6):
            total += bank[:, place]
        before, last = before.copy(), last.copy()
    return sound


def _record(sound: Array, stream: Stream) -> npt.NDArray[np.int16]:
    """What a microphone in a room makes of it: colour, an echo, noise, level; without the lead."""
    tilt, echo = stream.number(-0.35, 0.45), stream.number(0.0, 0.3)
    delay, level = stream.index(500) + 60, stream.number(0.35, 0.85)
    hiss, hum = stream.number(0.0006, 0.006), stream.number(0.0, 0.8)
    lead = LEAD_FRAMES * _SAMPLES_PER_FRAME
    coloured = sound[lead:] - sound[lead - 1 : -1] * tilt
    coloured = coloured + sound[lead - delay : -delay] * echo
    noise = stream.uniform(-1, 1, coloured.shape)
    noise[1:] += noise[:-1] * hum
    loud = coloured * 2.5
    squeezed = loud / np.sqrt(loud * loud + 1) + noise * hiss
    return np.rint(np.clip(squeezed * level, -1, 1) * 32767).astype(np.int16).T.copy()
