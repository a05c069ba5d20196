"""Pages from templates: everything is escaped, and every page knows who looks at it."""

from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from worklist.parts import Parts
from worklist.people.access import SignedIn

_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(
    request: Request,
    name: str,
    who: SignedIn | None,
    *,
    status_code: int = 200,
    **context: Any,  # Any: whatever the template shows
) -> HTMLResponse:
    """Render `templates/name` for `who`; None: nobody has signed in."""
    parts: Parts = request.app.state.parts
    zone = parts.time_zone

    def local(moment: datetime) -> str:
        return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}"

    template = _environment.get_template(name)
    html = template.render(request=request, who=who, local=local, now=parts.clock(), **context)
    return HTMLResponse(html, status_code=status_code)
