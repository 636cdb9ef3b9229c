"""python -m noisepress"""

from .cli import main

main()
