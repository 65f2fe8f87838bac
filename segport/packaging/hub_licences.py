"""Licences that the Hugging Face Hub knows by an identifier of its own.

https://huggingface.co/docs/hub/repositories-licenses, as far as they are licences of weights.
"""

_KNOWN = {
    "afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bsd", "bsd-2-clause", "bsd-3-clause",
    "bsd-3-clause-clear", "bsl-1.0", "c-uda", "cc", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0",
    "cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0",
    "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0",
    "cdla-sharing-1.0", "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "eupl-1.2",
    "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "isc", "lgpl", "lgpl-2.1", "lgpl-3.0", "lppl-1.3c",
    "mit", "mpl-2.0", "ms-pl", "ncsa", "odbl", "odc-by", "ofl-1.1", "openrail", "osl-3.0", "pddl",
    "postgresql", "unlicense", "wtfpl", "zlib",
}  # fmt: skip


def hub_licence(stated: str | None) -> str | None:
    """Return the identifier of a licence as it was stated, as SPDX names it or in small letters.

    "other" for one that the Hub does not know, None where none was stated.
    """
    if stated is None:
        return None
    return stated.lower() if stated.lower() in _KNOWN else "other"
