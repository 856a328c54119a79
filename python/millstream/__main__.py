"""`python -m millstream` is the command `millstream`."""

import sys

from millstream.cli import main

if __name__ == "__main__":  # children that fit models import this module under another name
    sys.exit(main())
