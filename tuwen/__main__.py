"""`python -m tuwen` is the same as `tuwen`."""

from __future__ import annotations

from tuwen.cli import main

if __name__ == "__main__":
    main()
