"""``python -m orchestration`` is the command ``wav2pix``."""

from orchestration.cli import main

main()
