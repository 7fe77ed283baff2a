"""`python -m itssl`: the command line."""

from itssl.cli import main

if __name__ == "__main__":
    main(prog_name="itssl")
