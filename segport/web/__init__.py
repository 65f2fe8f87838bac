"""The page that `segport serve` opens: files of the page, what lies beside them, and the server."""
