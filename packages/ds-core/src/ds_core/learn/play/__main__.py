"""``python -m ds_core.learn.play``."""

import argparse

from ds_core.learn.play.server import play

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        "python -m ds_core.learn.play", description="Start the playground and open its page; Ctrl+C ends it."
    )
    parser.add_argument(
        "--port", type=int, default=0, help="of this machine's own address; 0 for any free one"
    )
    parser.add_argument(
        "--no-open-browser",
        dest="open_browser",
        action="store_false",
        help="only print the address of the page",
    )
    play(**vars(parser.parse_args()))
