"""Our training step of the paper's networks against a literal step in the original's order.

    python benchmarks/train_step.py                 # 64 px batch 16, 64 px batch 64, 128 px batch 16
    python benchmarks/train_step.py --case 64x16

Rounds of the two steps alternate in one process; what counts is the CPU time of the process, so that other work
on the machine matters little. Printed is the ratio of the medians. On CUDA the steps are timed by the clock,
and samples per second and the share of the peak of the device are printed too.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from literal_step import LiteralStep
from torch.utils.flop_counter import FlopCounterMode

from wav2pix.batches import Batch
from wav2pix.config import make_config
from wav2pix.runtime import Runtime
from wav2pix.speech import prepare_speech
from wav2pix.train import State, new_state, train_step

CASES = ("64x16", "64x64", "128x16")
BOUNDS = {"64x16": 1.8, "64x64": 1.5}
BOUND_128 = 1.35
NUM_IDENTITIES = 10


@dataclass(frozen=True)
class Case:
    """Picture size in pixels and pairs in a batch."""

    image_size: int
    batch_size: int

    @classmethod
    def parse(cls, text: str) -> Case:
        """From SIZExBATCH, such as 64x16."""
        match = re.fullmatch(r"(64|128)x([1-9]\d*)", text)
        if match is None or int(match[2]) < 2:
            raise argparse.ArgumentTypeError(
                f"'{text}': give 64 or 128, x, and a batch size from 2, as in 64x16"
            )
        return cls(int(match[1]), int(match[2]))

    @property
    def name(self) -> str:
        """As it is parsed."""
        return f"{self.image_size}x{self.batch_size}"

    @property
    def bound(self) -> float | None:
        """The ratio to reach, where one was set."""
        return BOUND_128 if self.image_size == 128 else BOUNDS.get(self.name)


def random_batch(case: Case, device: torch.device) -> Batch:
    """Noise in the shape of a batch: the arithmetic does not depend on the values."""
    shape = (case.batch_size, 3, case.image_size, case.image_size)
    return Batch(
        speech=torch.randint(-20000, 20000, (case.batch_size, 16000), dtype=torch.int16).to(device),
        faces=(torch.rand(shape) * 2 - 1).to(device),
        wrong_faces=(torch.rand(shape) * 2 - 1).to(device),
        identities=torch.randint(NUM_IDENTITIES, (case.batch_size,)).to(device),
    )


def our_state(case: Case, runtime: Runtime) -> State:
    """A fresh run of the paper's preset."""
    settings = {"image_size": case.image_size, "batch_size": case.batch_size}
    names = tuple(f"speaker {index}" for index in range(NUM_IDENTITIES))
    state = new_state(make_config("paper", settings), names, runtime)
    state.model.train()
    state.discriminator.train()
    return state


def steps(case: Case, runtime: Runtime) -> tuple[Callable[[], object], Callable[[], object]]:
    """Our step and the literal step on the same batch."""
    batch = random_batch(case, runtime.device)
    state = our_state(case, runtime)
    literal = LiteralStep(case.image_size, NUM_IDENTITIES)
    literal.generator.to(runtime.device)
    literal.discriminator.to(runtime.device)

    def run_literal() -> None:
        literal.run(prepare_speech(batch.speech), batch.faces, batch.wrong_faces, batch.identities)

    return lambda: train_step(state, batch, runtime), run_literal


def seconds(step: Callable[[], object], repeats: int, device: torch.device) -> float:
    """CPU seconds of one step; on CUDA seconds by the clock."""
    if device.type != "cuda":
        started = time.process_time()
        for _ in range(repeats):
            step()
        return (time.process_time() - started) / repeats
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(repeats):
        step()
    torch.cuda.synchronize()
    return (time.perf_counter() - started) / repeats


def flops_of_step(case: Case, runtime: Runtime) -> int:
    """Floating-point operations of the matrix products and convolutions of our step."""
    ours, _ = steps(case, replace(runtime, compile=False))
    with FlopCounterMode(display=False) as counter:
        ours()
    return int(counter.get_total_flops())


def compare(case: Case, runtime: Runtime, options: argparse.Namespace) -> bool:
    """Run and print one case; True unless a bound is missed."""
    ours, literal = steps(case, runtime)
    times: dict[str, list[float]] = {"ours": [], "literal": []}
    for _ in range(3 if runtime.compile else 1):  # warm-up
        ours()
        literal()
    for _ in range(options.rounds):
        times["literal"].append(seconds(literal, options.repeats, runtime.device))
        times["ours"].append(seconds(ours, options.repeats, runtime.device))
    middle = {name: statistics.median(values) for name, values in times.items()}
    ratio = middle["literal"] / middle["ours"]
    on_cuda = runtime.device.type == "cuda"
    print(
        f"{case.image_size} px, batch {case.batch_size}: literal {middle['literal']:.3g}, "
        f"ours {middle['ours']:.3g} {'seconds' if on_cuda else 'CPU seconds'} a step, ratio {ratio:.2f}"
        + (f" (at least {case.bound})" if case.bound else ""),
        flush=True,
    )
    if on_cuda:
        flops = flops_of_step(case, runtime)
        share = flops / middle["ours"] / (options.peak_tflops * 1e12)
        print(
            f"    {case.batch_size / middle['ours']:.0f} samples/s, {flops / 1e9:.0f} GFLOP a step, "
            f"{share:.1%} of {options.peak_tflops:g} TFLOP/s"
        )
    return case.bound is None or ratio >= case.bound


def main() -> int:
    """Print a line for each case; 1 if a bound is missed."""
    parser = argparse.ArgumentParser(
        description="our training step against a literal one in the original's order"
    )
    parser.add_argument("--case", type=Case.parse, action="append", metavar="SIZExBATCH", help="default: three")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (default 5)")
    parser.add_argument("--repeats", type=int, default=1, help="steps in a round (default 1)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--compile", action="store_true", help="torch.compile our networks (CUDA)")
    parser.add_argument(
        "--peak-tflops", type=float, default=790.0, help="peak of the CUDA device (default 790)"
    )
    options = parser.parse_args()
    settings = {
        "runtime.device": options.device,
        "runtime.num_threads": options.threads,
        "runtime.compile": options.compile,
    }
    runtime = Runtime.of(make_config("paper", settings).runtime)
    where = f"{runtime.device}, {torch.get_num_threads()} CPU thread(s)"
    print(f"torch {torch.__version__}, {where}, medians of {options.rounds} rounds")
    cases = options.case or [Case.parse(name) for name in CASES]
    reached = [compare(case, runtime, options) for case in cases]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    raise SystemExit(main())
