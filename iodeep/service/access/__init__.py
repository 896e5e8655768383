"""Who may do what: callers become a :class:`Principal`, and each request names the role that it needs."""

from iodeep.service.access.principal import Principal

__all__ = ["Principal"]
