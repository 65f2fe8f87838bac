"""`segport serve`."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from segport.arguments import AsJson
from segport.output import say


def serve(
    artifacts: Annotated[
        list[Path], typer.Argument(help="Artifacts of one network, or folders that hold them.")
    ],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of 127.0.0.1; 0 takes a free one.")
    ] = 8000,
    export: Annotated[
        Path | None,
        typer.Option(help="Write the page into this folder, for any web server, and end."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Try artifacts in a browser: drop an image, compare two files under a slider.

    The page runs them with onnxruntime-web and asks no other machine. Ctrl-C ends it.
    """
    from segport.web.server import address, open_server
    from segport.web.site import build_site, export_site
    from segport.web.variants import find_variants

    site = build_site(find_variants(artifacts))
    if export is not None:
        export_site(site, export)
        shown = f"{len(site)} files in {export}; 'python -m http.server -d {export}' shows them"
        say({"folder": export, "files": sorted(site)} if as_json else shown, as_json)
        return
    with open_server(site, port) as server:
        url = address(server)
        say({"url": url} if as_json else f"{url} - Ctrl-C ends it", as_json)
        with suppress(KeyboardInterrupt):  # how this command is meant to end
            server.serve_forever()
