"""A local look-alike of Stripe and OpenMeter with a clock that can be set and faults that can be scripted."""
