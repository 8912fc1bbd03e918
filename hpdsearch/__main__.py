"""Run the command line as `python -m hpdsearch`."""

from hpdsearch.cli import main

if __name__ == "__main__":
    main()
