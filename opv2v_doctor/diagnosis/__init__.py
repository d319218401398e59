"""The diagnosis: why a validation is high, measured on one checkpoint; and the checks that say so."""
