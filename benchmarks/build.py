"""Speed and memory of ``wav2pix data build`` on one core.

    python -m benchmarks.build [--minutes 10] [--hour]

Makes clips of 1280 x 720 at 30 frames a second as cameras and platforms do: H.264 (x264's fast, a key frame
every 250 frames) and 48 kHz stereo AAC; a synthetic face moves before a textured wall, with the noise of a
camera that stands in one clip and pans over the wall in the other. 16.7 s are encoded and their packets
repeated to the length, under sound that never repeats. --hour takes 1920 x 1080 and an hour instead. The
build is the command that people type, with a face a second.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import psutil
from PIL import Image

from wav2pix.data.camera import SHOWN, make_films
from wav2pix.data.synth_videos import write_film

FPS = 30
NUM_FRAMES = 500  # two groups of pictures
RATE_HZ = 48000
DEADLINE_S = 3600

Picture = npt.NDArray[np.uint8]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=10, help="length of the 720p clip")
    parser.add_argument("--hour", action="store_true", help="an hour of 1080p instead")
    options = parser.parse_args()
    size, minutes = ((1920, 1080), 60) if options.hour else ((1280, 720), options.minutes)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for pans in (False, True):
        measure(size, minutes, pans)


def measure(size: tuple[int, int], minutes: int, pans: bool) -> None:
    """Make a clip, build it and print what that took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        num_bytes = write_clip(folder / "long.mp4", size, minutes, pans)
        write_film(folder / "other.mp4", next(make_films(0, 4, 3, 10)))
        (folder / "videos.csv").write_text("identity,video\nada,long.mp4\nben,other.mp4\n")
        wall_s, cpu_s, peak = build(folder)
        source = json.loads((folder / "data" / "dataset.json").read_text())["source"]
    video = source["videos"][0]
    rate = num_bytes * 8 / minutes / 60e6
    camera = "a camera that pans" if pans else "a camera that stands"
    print(f"\n{camera}: {size[0]} x {size[1]}, {FPS} fps, {minutes} min, {rate:.1f} Mbit/s, one core")
    print(f"pairs            {video['pairs']:,} of {minutes * 60:,} s; dropped: {video['dropped'] or 'none'}")
    print(f"wall             {wall_s:8.1f} s  {minutes * 60 / wall_s:6.1f} x real time")
    print(f"processor        {cpu_s:8.1f} s  {minutes * 60 / cpu_s:6.1f} x real time")
    print(f"memory at most   {peak / 2**20:8.0f} MiB, all processes together")


def build(folder: Path) -> tuple[float, float, int]:
    """Seconds on the clock, seconds of the processor, and bytes of memory at the most."""
    command = [Path(sys.executable).with_name("wav2pix"), "data", "build", folder / "videos.csv"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    process = subprocess.Popen([*command, "--out", folder / "data", "--workers", "1"])
    peak = 0
    try:
        while process.poll() is None:
            peak = max(peak, _memory(process.pid))
            if time.monotonic() - start > DEADLINE_S:
                raise SystemExit(f"not finished after {DEADLINE_S} s")
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait(timeout=60)
    if process.returncode:
        raise SystemExit(process.returncode)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return time.monotonic() - start, cpu_s, peak


def _memory(pid: int) -> int:
    """Bytes that a process and its children hold; what they share counts once for each."""
    total = 0
    try:
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total


def write_clip(path: Path, size: tuple[int, int], minutes: int, pans: bool) -> int:
    """Write the clip and return its size in bytes."""
    with av.open(path, "w") as out:
        options = {"preset": "fast", "crf": "23"}
        picture: Any = out.add_stream("libx264", rate=FPS, options=options)
        picture.width, picture.height, picture.pix_fmt = *size, "yuv420p"
        heard: Any = out.add_stream("aac", rate=RATE_HZ, layout="stereo", options={"aac_coder": "fast"})
        heard.bit_rate = 128000
        packets = [packet for pixels in _scene(*size, pans) for packet in picture.encode(_frame(pixels))]
        packets += picture.encode(None)
        turns = -(-minutes * 60 * FPS // NUM_FRAMES)
        sound, heard_s = _sound(heard, turns * NUM_FRAMES / FPS), 0.0
        for packet in (_shifted(packet, turn) for turn in range(turns) for packet in packets):
            while heard_s <= packet.dts * packet.time_base:
                parts, heard_s = next(sound)
                out.mux(parts)
            out.mux(packet)
        for parts, _ in sound:
            out.mux(parts)
    return path.stat().st_size


def _shifted(packet: av.Packet, turn: int) -> av.Packet:
    copy = av.Packet(bytes(packet))
    shift = round(Fraction(turn * NUM_FRAMES, FPS) / packet.time_base)
    copy.pts, copy.dts = packet.pts + shift, packet.dts + shift
    copy.time_base, copy.stream, copy.is_keyframe = packet.time_base, packet.stream, packet.is_keyframe
    return copy


def _frame(pixels: Picture) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(pixels, format="rgb24")


def _scene(width: int, height: int, pans: bool) -> Iterator[Picture]:
    """(H, W, 3) RGB for each frame."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 160, (height // 12, width // 8, 3)).astype(np.uint8)
    wall = np.asarray(Image.fromarray(coarse).resize((width * 2, height), Image.Resampling.BICUBIC))
    noise = rng.normal(0, 5, (8, height, width, 1)).astype(np.float32)
    side = height * 5 // 9
    heads = list(next(make_films(0, 1, 3, 1 + NUM_FRAMES // FPS)).heads(side))
    for number in range(NUM_FRAMES):
        pan = number * (width - 1) // NUM_FRAMES if pans else 0
        pixels = wall[:, pan : pan + width].astype(np.float32)
        left = round(width * (0.4 + 0.2 * np.sin(number / 60)) - side / 2)
        head = heads[number * 24 // (FPS * SHOWN) % len(heads)]
        pixels[height - side :, left : left + side] = head
        yield np.clip(pixels + noise[number % len(noise)], 0, 255).astype(np.uint8)


def _sound(stream: Any, seconds: float) -> Iterator[tuple[list[av.Packet], float]]:
    """Packets of sound that never repeats, with the time at which each second of it ends."""
    rng = np.random.default_rng(1)
    for second in range(int(seconds)):
        loud = np.interp(np.arange(RATE_HZ), np.linspace(0, RATE_HZ, 9), rng.uniform(50, 6000, 9))
        samples = (rng.normal(0, 1, (2, RATE_HZ)) * loud).clip(-32768, 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples.T.reshape(1, -1).copy(), format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, second * RATE_HZ, Fraction(1, RATE_HZ)
        yield stream.encode(frame), float(second + 1)
    yield stream.encode(None), float("inf")


if __name__ == "__main__":
    main()
