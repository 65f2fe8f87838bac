"""`python -m segport`."""

from segport.cli import main

if __name__ == "__main__":
    main()
