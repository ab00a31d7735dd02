"""`python -m ali`: the command line."""

from ali.cli import main

if __name__ == "__main__":
    main()
