"""`neurofm pretrain` under a launcher: `accelerate launch -m neurofm.pretrain`."""

import sys

from neurofm.cli import main

if __name__ == "__main__":
    sys.exit(main(["pretrain", *sys.argv[1:]]))
