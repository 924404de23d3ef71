"""python -m fieldtune"""

from fieldtune.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
