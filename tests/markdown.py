"""Read Markdown tables back."""


def table(text: str, heading: str) -> list[dict[str, str]]:
    """Rows of the table in the section `## heading`, by column."""
    section = text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(head, row, strict=True)) for row in rows]
