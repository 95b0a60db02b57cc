"""``python -m ds_core.learn.play``."""

from ds_core.learn.play.server import play

if __name__ == "__main__":
    play()
