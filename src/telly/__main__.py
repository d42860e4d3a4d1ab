"""`python -m telly`, which `torchrun -m telly` needs."""

from telly.cli import main

main()
