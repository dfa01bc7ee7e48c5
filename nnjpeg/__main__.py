"""python -m nnjpeg."""

import sys

from nnjpeg.cli import main

sys.exit(main())
