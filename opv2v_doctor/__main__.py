"""`python -m opv2v_doctor`."""

from opv2v_doctor.cli import main

main()
