"""`python -m app` is `leadwire`."""

from app.cli import main

if __name__ == "__main__":
    main()
