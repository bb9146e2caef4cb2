"""Score recordings from a checkout without installing the command: the same as ``mmcl score``."""

import sys

from mmcl.cli.main import main

sys.exit(main(["score", *sys.argv[1:]]))
