"""`octavo` and `python -m octavo`: the command line, with the demo beside it."""

import sys


def main() -> None:
    """Runs the command that `sys.argv` names, and exits: 0; 1 for an error to act on; 2 for wrong usage."""
    try:
        from octavo.cli.app import app, run
        from octavo.demo import command
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("octavo"):
            raise
        sys.exit(f"octavo: error: the command line needs {error.name}: pip install 'octavo[quantize]'")
    app.command(epilog=command.EPILOG)(command.demo)
    run()


if __name__ == "__main__":
    main()
