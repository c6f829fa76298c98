"""A browser that pages can be looked at in, where one is installed."""

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome")


def browser():
    """Its path, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)
