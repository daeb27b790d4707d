"""``python -m rs_forecast``."""

from rs_forecast.cli import main

main()
