"""Words that do harm where they are believed: paths, formulas, control characters, look-alikes, edges of length."""

from __future__ import annotations

from random import Random

from tests.hostile.canary import Canary

HOSTILE = (
    "", " ", "\0", "a\0b", "..", "../../../../etc/passwd", "/etc/passwd", "C:\\Windows\\win.ini", "\\\\host\\share",
    "con", "NUL.onnx", ".", "-rf", "~root", "$(id)", "`id`", "; id", "| id", "${jndi:ldap://127.0.0.1/a}", "{{7*7}}",
    "%s%n%x", "%2e%2e%2f", "' OR 1=1 --", "\"; DROP TABLE jobs; --", "<script>alert(1)</script>", "=cmd|' /C calc'!A0",
    "\x1b]0;owned\x07", "\x1b[2J", "line\nbreak", "line\r\nX-Injected: 1", "\u202egnp.exe", "\u200b", "\ufeffbrain",
    "br\u0430in", "Brain", "BRAIN", "\u0130", "ﬁ", "e\u0301", "é", "\U0001f9e0", "\ud7ff", "a" * 64, "a" * 65, "A" * 4097,
    "1.2.3", "1..2", "1.2." + "3" * 70, "1e999", "-1e999", "NaN", "Infinity", "-0", "0x10", "1_000", "١٢٣",
    "9" * 400, "*", "?", "AIM1.*", "AIM1.CT.HEAD.ANY.x\\AIM1", "\\", "\\\\\\", "^^^^", "=", "2026-02-30", "9999-12-31",
    "0001-01-01T00:00:00Z", "true", "null", "!!python/object/apply:os.system ['id']", "&a *a", "cos\nsystem\n(S'id'\ntR.",
)  # fmt: skip


def hostile(random: Random, canary: Canary | None = None) -> str:
    """One of them; some name the canary's marker, secret and port."""
    if canary is not None and random.random() < 0.15:
        marker, secret = canary.marker, canary.secret
        return random.choice(
            (
                str(secret), f"file://{secret}", canary.url, f"../../..{secret}", f"$(touch {marker})", str(marker),
                f"!!python/object/apply:os.system ['touch {marker}']", f"cos\nsystem\n(S'touch {marker}'\ntR.",
            )
        )  # fmt: skip
    return random.choice(HOSTILE)
