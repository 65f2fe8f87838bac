"""One engine per file; `validate.runtimes` has the table of them."""
