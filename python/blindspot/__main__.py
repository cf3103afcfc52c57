"""`python -m blindspot` is the command."""

import sys

from blindspot._cli import main

sys.exit(main())
