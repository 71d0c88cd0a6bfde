"""The environment's part of the configuration: ``ARGUS__TRADING__LIMITS__MAX_NOTIONAL=5000`` and the like.

Apart from ``load`` because pydantic-settings costs as much to import as pydantic itself: it is loaded only when a
variable of ours is set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource

from config.schema import Process, Rehearsal, Trading


class _Settings(BaseSettings):
    trading: Trading = Trading()
    process: Process = Process()
    test: Rehearsal = Rehearsal()


class _Variables(EnvSettingsSource):
    """Reads the mapping it is given rather than the process's own, and list and table values by ``parse``."""

    def __init__(self, variables: Mapping[str, str], prefix: str, delimiter: str, parse: Callable[[str], Any]) -> None:
        # Sorted, because the library lets a table and a variable inside it overwrite each other in the order they come.
        self._variables = {name.lower(): text for name, text in sorted(variables.items())}
        self._parse = parse
        super().__init__(_Settings, env_prefix=prefix, env_nested_delimiter=delimiter)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._variables

    def decode_complex_value(self, field_name: str, field: FieldInfo | None, value: Any) -> Any:
        # The library reads JSON here, which would pass money through binary float.
        return self._parse(value)


def read_variables(
    variables: Mapping[str, str], prefix: str, delimiter: str, parse: Callable[[str], Any]
) -> dict[str, Any]:
    """The settings named by ``variables``, as the nested tables they stand for."""
    return _Variables(variables, prefix, delimiter, parse)()
