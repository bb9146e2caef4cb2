"""``python -m mmcl`` is the command ``mmcl``; ``torchrun -m mmcl`` starts it on many processes."""

import sys

from mmcl.cli.main import main

sys.exit(main())
