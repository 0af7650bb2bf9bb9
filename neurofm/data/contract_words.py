"""Fields of contracts: pass-bands and windows in words, versions that are known."""


def band(low_hz: float | None, high_hz: float | None) -> str:
    """A pass-band in words.

    Parameters
    ----------
    low_hz
        Lower edge, Hz; None = open.
    high_hz
        Upper edge, Hz; None = open.

    Returns
    -------
    str
        Such as "0.1–96 Hz".
    """
    if low_hz is None:
        return "as recorded" if high_hz is None else f"up to {high_hz:g} Hz"
    return f"from {low_hz:g} Hz" if high_hz is None else f"{low_hz:g}–{high_hz:g} Hz"


def windows(window_s: float | None, stride_s: float | None) -> str:
    """Length and spacing of windows in words.

    Parameters
    ----------
    window_s
        Length of a window, s; None = the whole scan.
    stride_s
        Time from one window to the next, s; None = the length.

    Returns
    -------
    str
        Such as "10 s, every 5 s".
    """
    if window_s is None:
        return "whole scans"
    return f"{window_s:g} s, one every {stride_s or window_s:g} s"


def check_version(version: int | None, where: str = "") -> None:
    """Check the version of the fields of a contract.

    Parameters
    ----------
    version
        Version of the fields.
    where
        What messages begin with.

    Raises
    ------
    ValueError
        The version is not known here.
    """
    if version != 1:
        raise ValueError(f"{where}contract_version 1 can be read here, got {version}; a newer "
                         f"neurofm wrote it: upgrade")
