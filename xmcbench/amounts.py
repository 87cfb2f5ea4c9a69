"""Fractions, counts and seconds as readers see them: in the terminal, on progress lines and in notebooks."""

from __future__ import annotations

ROUNDING = 1e-12  # differences of fractions below this are rounding errors of float64


def percent(fraction: float | None, *, sign: bool = False) -> str:
    """A fraction as percent with two decimals, in scientific notation if these would hide it; "–" for None."""
    if fraction is None:
        return "–"
    form = ".1e" if ROUNDING < abs(fraction) < 5e-5 else ".2f"
    return format(100 * fraction, ("+" if sign else "") + form)


def number(value: float | None) -> str:
    """A number with commas between thousands; "–" for None."""
    return "–" if value is None else f"{value:,}"


def size(n_bytes: float | None) -> str:
    """Bytes as 12 KiB, 640 MiB or 3.1 GiB; "–" for None."""
    if n_bytes is None:
        return "–"
    if n_bytes < 2**20:
        return f"{n_bytes / 2**10:.0f} KiB"
    mebibytes = n_bytes / 2**20
    return f"{mebibytes:,.0f} MiB" if mebibytes < 999.5 else f"{mebibytes / 1024:,.1f} GiB"


def duration(seconds: float | None) -> str:
    """Seconds as 8 s, 3 min 20 s or 2 h 5 min; "–" for None."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def clock(seconds: float) -> str:
    """Seconds as a clock that counts shows them: 0:40, 12:05, 1:02:30."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def p_value(p: float) -> str:
    """A p-value with four decimals, below 0.0001 as a power of ten."""
    if p >= 0.0001:
        return f"{p:.4f}"
    return f"{p:.0e}" if p > 0 else "<1e-308"  # less than a float
