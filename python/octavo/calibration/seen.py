"""What range rules read."""

from collections.abc import Mapping
from typing import Any, TypeAlias

Seen: TypeAlias = Mapping[str, Mapping[str, Any]]
"""What each of a rule's statistics tells of one value, by the statistic's name."""
