"""How published values were made, as far as is known: two values of one metric may be of unlike things.

The protocol is next to every published value, and readers filter by its fields. None: not known, since the place that
the value is from doesn't say.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import Meta, Struct, structs

from xmcbench.metrics.names import parse

NO_ENCODER, NO_RANKER = "none", "none"
UNKNOWN = "not known"
Text = Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=1)]


class Protocol(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The protocol of one published row.

    Attributes
    ----------
    encoder : of texts, such as "BERT-base"; "none" for methods that read term weights.
    million_parameters : size of the encoder. tokens : maximum length of a text, the rest is cut off.
    models : number of models whose scores are averaged.
    ranker : what scores the best labels again, such as "linear"; "none" if nothing does.
    psp : "usual" for propensities of Jain et al. 2016 and sums over the whole test set, both as `xmcbench` computes
        them; "other" for any other definition.
    split : whose rows train and test are, in a few words.
    """

    encoder: Text | None = None
    million_parameters: Annotated[float, Meta(gt=0)] | None = None
    tokens: Count | None = None
    models: Count | None = None
    ranker: Text | None = None
    psp: Literal["usual", "other"] | None = None
    split: Text | None = None

    def over(self, general: Protocol) -> Protocol:
        """This protocol, with the fields of a more general one where it has none."""
        own = {name: value for name, value in structs.asdict(self).items() if value is not None}
        return structs.replace(general, **own)


FIELDS = Protocol.__struct_fields__


def is_propensity_scored(metric: str) -> bool:
    """Whether the definition `psp` of a protocol concerns the metric."""
    return parse(metric).definition.weighted


def described(protocol: Protocol, metrics: Iterable[str]) -> str:
    """The protocol of values of `metrics` in words, without the split; what is not known is named at the end."""
    parts: list[str] = []
    unknown: list[str] = []
    if protocol.encoder is None:
        unknown.append("encoder")
    elif protocol.encoder == NO_ENCODER:
        parts.append("no encoder")
    else:
        size = "" if protocol.million_parameters is None else f" ({protocol.million_parameters:g} M parameters)"
        parts.append(protocol.encoder + size)
    if protocol.tokens is not None:
        parts.append(f"{protocol.tokens} tokens")
    elif protocol.encoder != NO_ENCODER:
        unknown.append("length")
    if protocol.models is not None:
        parts.append("1 model" if protocol.models == 1 else f"{protocol.models} models")
    if protocol.ranker is not None:
        parts.append("no ranker" if protocol.ranker == NO_RANKER else f"ranker: {protocol.ranker}")
    if any(map(is_propensity_scored, metrics)):
        if protocol.psp is None:
            unknown.append("PSP")
        else:
            parts.append(f"{protocol.psp} PSP")
    return "; ".join([*parts, *([f"{UNKNOWN}: {', '.join(unknown)}"] if unknown else [])])
