"""`python -m app` is `leadwire`."""

from app.cli import main

main()
