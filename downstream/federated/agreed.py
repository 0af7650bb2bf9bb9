"""What a site has agreed to: a server that asks for anything else is refused at the site.

The same YAML file as the server's settings. Without it a server decides which subjects train, for
how long, and whether weights are masked.
"""

import contextlib
import functools
import io
from dataclasses import fields, replace
from pathlib import Path

from flwr.app import Message
from flwr.common.differential_privacy_constants import KEY_CLIPPING_NORM
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage

from neurofm import config

from . import messages
from .learning import Learning
from .rounds import Federation
from .secure_checks import LEAST


def read(path: str | Path) -> Federation:
    """Settings of a file; ValueError with what is wrong, since Flower keeps silent about
    SystemExit."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return config.parse(Federation, ["--config", str(path)], command="federate",
                                verify=False)
    except SystemExit:
        raise ValueError(f"settings {path}: {said.getvalue().strip()}") from None


_read = functools.lru_cache(maxsize=4)(read)


def check_request(path: str, message: Message) -> None:
    """ValueError where weights are asked for without the masks that were agreed; before anything is
    unmasked or trained. path: of the settings; "" = nothing was agreed."""
    if not path or message.metadata.message_type != "train":
        return
    how = _read(path).secure
    stage = message.content.config_records.get(RECORD_KEY_CONFIGS)
    if not how.on:
        return
    if stage is None:
        raise ValueError("the server asks for weights that are not masked; secure.on was agreed")
    if stage.get(Key.STAGE) == Stage.SETUP:
        n_sites, n_shares = int(stage[Key.SAMPLE_NUMBER]), int(stage[Key.SHARE_NUMBER])
        least = max(2, round(how.threshold * n_shares))
        if n_sites < LEAST or int(stage[Key.THRESHOLD]) < least:
            raise ValueError(f"the server masks with {n_sites} sites, of which "
                             f"{stage[Key.THRESHOLD]} must stay; {LEAST} and {least} were agreed")


def check_settings(path: str, message: Message, learning: Learning) -> None:
    """ValueError where settings, or the clipping of changes, are not those that were agreed."""
    if not path:
        return
    own = _read(path)
    asked = replace(learning, fingerprint=own.learning.fingerprint)
    if other := [one.name for one in fields(Learning)
                 if getattr(asked, one.name) != getattr(own.learning, one.name)]:
        raise ValueError(f"the server's settings are not those of {path}: they differ in "
                         f"learning.{', learning.'.join(other)}")
    if own.privacy.where == "client" and message.metadata.message_type == "train":
        clip = message.content[messages.CONFIG].get(KEY_CLIPPING_NORM)
        if not isinstance(clip, float) or not 0 < clip <= own.privacy.clip:
            raise ValueError(f"the server asks for changes clipped to {clip}; privacy.clip of "
                             f"{own.privacy.clip:g} was agreed")
