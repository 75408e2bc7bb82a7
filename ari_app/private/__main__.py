"""`python -m ari_app.private`: have Asterisk and SIPp ready before anything needs them, and say where they are."""

from __future__ import annotations

import sys

from ari_app.private.progress import shown_progress
from ari_app.private.root import ensure_root
from ringfence.errors import RingfenceError


def main() -> int:
    """Fetch what is missing; return the exit code."""
    try:
        with shown_progress() as progress:
            root = ensure_root(progress=progress)
    except RingfenceError as error:
        sys.stderr.write(f"{error.message}\n{error.hint}\n")
        return error.exit_code
    sys.stdout.write(f"Asterisk {root.version}: {root.path or root.asterisk[-1]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
