"""Who may do what: callers become a :class:`Principal`, and each request names the role that it needs.

``guard`` (which needs FastAPI) is imported by the API alone.
"""

from iodeep.service.access.principal import Principal
from iodeep.service.access.refusals import AccessRefusal
from iodeep.service.access.safe import check_safe_to_serve

__all__ = ["AccessRefusal", "Principal", "check_safe_to_serve"]
