"""``python -m mmcl`` is the command ``mmcl``; ``torchrun -m mmcl`` starts it on many processes."""

import sys

from mmcl.cli import main

sys.exit(main())
