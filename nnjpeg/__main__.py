"""python -m nnjpeg: the self-test; with arguments, the command line."""

import sys

from nnjpeg.cli import main

sys.exit(main(sys.argv[1:] or ["selftest"]))
