"""Alerts: what is wrong is noticed, told once to the people who can act, and told again when it is over.

`troubles` says what is wrong, `plan` what follows from it, `words` how it is said, `channels` how it goes out, and
`watch` does one after the other, in one process at a time.
"""

from app.alerts.channels import configured, make_channels, try_channels
from app.alerts.watch import Watch

__all__ = ["Watch", "configured", "make_channels", "try_channels"]
