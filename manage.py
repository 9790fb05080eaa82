#!/usr/bin/env python
"""Django's command line for the billing console."""

import os
import sys


def main() -> None:
    """Run one management command and exit with its code."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_console.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.stderr.write(
            "Django is not installed here: run make install, then .venv/bin/python manage.py …\n"
        )
        sys.exit(2)
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"A setting is wrong: {str(error).splitlines()[0]}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        # While Django is still being loaded; later the command itself says how to go on.
        sys.stderr.write("Interrupted. Nothing is lost: run the command again.\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
