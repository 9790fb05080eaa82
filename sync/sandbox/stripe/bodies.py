"""What an object of the API is to the look-alike."""

from typing import Any

Body = dict[str, Any]
