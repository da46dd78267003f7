"""The page: drop photos, see what is wrong and what came of it, take the results away."""

import html
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from fastapi import FastAPI

from idrestore import batch
from idrestore.evaluation import explain
from idrestore.files import image
from idrestore.files.formats import SUFFIXES
from idrestore.server.app import Service
from idrestore.server.queue import Full, Stopped
from idrestore.server.sessions import PART, Finished, Visits, Wishes, comparison, to_download

# Read when gradio is imported: nothing is counted, looked up or reported.
os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
import gradio as gr

PACKAGE = Path(__file__).parents[1]
EXAMPLES = (PACKAGE / "examples", PACKAGE.parents[1] / "examples/degraded")
"""Where example photos are: in the installed package, or in the source tree."""
KEPT_FOR = 24 * 3600
"""Seconds after which an uploaded photo is removed, if its page is still open."""
INTRODUCTION = """# Restore photos
Drop photos that are noisy, rainy, hazy, blurred or dark. They are worked on by this program and sent nowhere else."""
NAME_THE_PICTURE = """() => requestAnimationFrame(() => {
  const picture = document.querySelector("#place img");
  if (picture) picture.alt = "The first photo: click to try the part there";
})"""
NOTHING_YET = '<p class="sentence" role="status">Drop a photo, then press Restore.</p>'


def mount(app: FastAPI, service: Service, folder: Path, max_bytes: int) -> Callable[[], None]:
    """Add the page to a service at /, its files being kept in `folder`.

    Return what ends the connections of open pages, which else would last until their windows are closed.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    for name in ("async_ssrf_protected_download", "ssrf_protected_download", "save_url_to_cache"):
        setattr(gr.processing_utils, name, _refuse_to_fetch)
    examples = next((str(place) for place in EXAMPLES if place.is_dir()), None)
    gr.mount_gradio_app(
        app,
        _Page(service, folder, examples).blocks,
        "/",
        allowed_paths=[examples] if examples else [],
        max_file_size=max_bytes,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        theme=_theme(),
        css_paths=PACKAGE / "templates/page.css",
    )
    page: Any = app.routes[-1]
    return lambda: page.app.stop_event.set()


def _refuse_to_fetch(url: str, cache_dir: str) -> NoReturn:
    """Stand in for what Gradio fetches addresses with that a client names as its photo."""
    raise ValueError("got the address of a photo, expected the photo itself")


class _Page:
    """The controls, and what each of them does."""

    def __init__(self, service: Service, folder: Path, examples: str | None) -> None:
        self.service = service
        self.visits = Visits(service, folder)
        with gr.Blocks(title="idrestore", analytics_enabled=False, delete_cache=(3600, KEPT_FOR)) as self.blocks:
            gr.Markdown(INTRODUCTION)
            self.results = gr.State([])
            with gr.Row():
                with gr.Column(scale=2, min_width=280):
                    self._add_controls(examples)
                    self._add_part()
                with gr.Column(scale=3, min_width=280):
                    self._add_results()
            self._add_strengths()
            self._connect()

    def _add_controls(self, examples: str | None) -> None:
        """Lay out what is asked for."""
        self.photos = gr.File(label="Photos", file_count="multiple", file_types=sorted(SUFFIXES), height=180)
        with gr.Row():
            self.go = gr.Button("Restore", variant="primary", elem_id="restore")
            self.stop = gr.Button("Cancel", elem_id="cancel")
        if examples:
            with gr.Accordion("Examples", open=False):
                for path in sorted(Path(examples).glob("*.jpg")):
                    words = path.stem.replace("_", " ").capitalize()
                    gr.Button(words, size="sm").click(
                        lambda path=path: [str(path)], None, self.photos, api_visibility="private"
                    )
        models = list(self.service.restorers)
        self.model = gr.Dropdown(models, value=models[0], label="Model", interactive=True)
        self.licence = gr.HTML(self._licence(models[0]))
        self.guard = gr.Checkbox(True, label="Leave alone what looks covered, pixelated or blurred on purpose")

    def _add_part(self) -> None:
        """Lay out the trial of a part."""
        with gr.Accordion("Try a part first", open=False):
            label = f"Click where to try {PART} by {PART} pixels"
            self.picture = gr.Image(label=label, interactive=False, buttons=[], height=220, elem_id="place")
            self.across = gr.Slider(0, 100, 50, step=1, label="Middle of the part, percent from the left")
            self.down = gr.Slider(0, 100, 50, step=1, label="Middle of the part, percent from the top")
            self.try_part = gr.Button("Try this part", elem_id="part")

    def _add_strengths(self) -> None:
        """Lay out a bar and a slider for each degradation."""
        gr.Markdown("### Found, and how much of each to remove")
        self.bars: dict[str, gr.HTML] = {}
        self.strengths: dict[str, gr.Slider] = {}
        names = dict.fromkeys(name for restorer in self.service.restorers.values() for name in restorer.names)
        with gr.Row():
            for name in [name for name in names if name != "clean"]:
                with gr.Column(min_width=200), gr.Group():
                    self.bars[name] = gr.HTML(_bar(name, None), padding=True)
                    self.strengths[name] = gr.Slider(
                        0, 1, 1, step=0.05, label=f"Remove {explain.words(name)}", buttons=[]
                    )

    def _add_results(self) -> None:
        """Lay out what comes of it."""
        self.told = gr.HTML(NOTHING_YET, elem_id="told")
        self.download = gr.DownloadButton("Download", variant="primary", visible=False, elem_id="download")
        self.shown = gr.Dropdown([], label="Photo", visible=False, type="index", interactive=True)
        self.compare = gr.HTML(
            html_template="${value}",
            js_on_load=(PACKAGE / "templates/compare.js").read_text("utf-8"),
            elem_id="compare",
        )

    def _connect(self) -> None:
        """Say what happens when."""
        controls = {self.photos, self.model, self.guard, *self.strengths.values()}
        shown = [self.told, self.compare, *self.bars.values()]
        results = [*shown, self.download, self.shown, self.results]
        often = {"concurrency_limit": None, "api_visibility": "private"}
        quick = {**often, "queue": False, "show_progress": "hidden"}
        self.go.click(self._restore, controls, results, show_progress_on=self.told, **often)
        self.stop.click(self._cancel, None, None, **quick)
        self.shown.input(self._show, [self.results, self.shown], shown, **quick)
        self.photos.change(self._clear, None, results, **quick)
        self.photos.change(self._picture, self.photos, self.picture, **quick)
        self.model.change(self._licence, self.model, self.licence, **quick)
        parts = {*controls, self.across, self.down}
        self.try_part.click(self._part, parts, shown, show_progress_on=self.told, **often)
        self.picture.change(None, js=NAME_THE_PICTURE, api_visibility="private")  # Gradio gives it no words
        self.picture.select(self._place, self.photos, [self.across, self.down], **often).then(
            self._part, parts, shown, show_progress_on=self.told, **often
        )
        self.blocks.unload(self._leave)

    def _restore(self, values: dict[Any, Any], request: gr.Request, progress: gr.Progress = gr.Progress()) -> Any:  # noqa: B008
        """Restore what was dropped."""
        wishes = self._wishes(values)
        finished, failures = self.visits.restore(str(request.session_hash), wishes, _teller(progress))
        return [*self._show(finished, 0, failures), *self._offer(finished)]

    def _clear(self) -> list[Any]:
        """Show nothing more of earlier photos."""
        return [*self._show([], 0), *self._offer([])]

    def _offer(self, finished: list[Finished]) -> list[Any]:
        """Offer results: to be taken away, to be chosen among, to be remembered."""
        path = to_download(finished)
        several = len(finished) > 1
        label = f"Download all {len(finished)} (zip)" if several else f"Download {path.name if path else ''}"
        choices = [each.target.name for each in finished]
        return [
            gr.DownloadButton(label, value=str(path) if path else None, visible=bool(path)),
            gr.Dropdown(choices, value=choices[0] if choices else None, visible=several),
            finished,
        ]

    def _show(self, finished: list[Finished], number: int, failures: list[str] | None = None) -> list[Any]:
        """Show one of the results; beside them, what went wrong."""
        troubles = _list(failures or [], ' class="failures" role="alert"')
        if not finished:
            return [troubles or NOTHING_YET, "", *(_bar(name, None) for name in self.bars)]
        one = finished[number]
        said = _sentence(one.ingredients) + _list(one.notes) + troubles
        return [said, comparison(one.source, one.target, one.target.name), *self._bars(one.ingredients)]

    def _part(self, values: dict[Any, Any], request: gr.Request, progress: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008
        """Restore a part, and show it in the place of a result."""
        wishes = self._wishes(values)
        place = values[self.across] / 100, values[self.down] / 100
        try:
            part = self.visits.part(str(request.session_hash), wishes, place, _teller(progress))
        except (Full, Stopped, *batch.FILE_ERRORS) as error:
            raise gr.Error(" ".join(str(error).split()), print_exception=False) from error
        said = _sentence(part.ingredients) + _list(part.notes)
        said += "<p>This is a part, judged by itself: the whole photo may be judged otherwise.</p>"
        return [said, comparison(part.before, part.after, "A part"), *self._bars(part.ingredients)]

    def _wishes(self, values: Mapping[Any, Any]) -> Wishes:
        """Read the controls; complain if there is no photo."""
        if not values[self.photos]:
            raise gr.Error("There is no photo yet: drop one, or take an example.", print_exception=False)
        strengths = {name: values[slider] for name, slider in self.strengths.items()}
        return Wishes([Path(path) for path in values[self.photos]], values[self.model], values[self.guard], strengths)

    def _picture(self, photos: list[str] | None) -> str | None:
        """Return the first photo, small, to choose a part in."""
        if not photos:
            return None
        try:
            width, height = image.size(Path(photos[0]))
            if width * height > self.service.max_pixels:
                return None  # it is said when the photo is to be restored
            small = image.thumbnail(Path(photos[0]), 800, quality=80)
        except image.ImageError:
            return None  # so is this
        path = Path(photos[0]).with_suffix(".small.webp")
        path.write_bytes(small)
        return str(path)

    def _place(self, photos: list[str], click: gr.SelectData) -> tuple[float, float]:
        """Return where the small picture was clicked, in percent of its sides."""
        width, height = image.size(Path(photos[0]).with_suffix(".small.webp"))
        return round(100 * click.index[0] / width), round(100 * click.index[1] / height)

    def _cancel(self, request: gr.Request) -> None:
        self.visits.cancel(str(request.session_hash))

    def _leave(self, request: gr.Request) -> None:
        self.visits.end(str(request.session_hash))

    def _bars(self, ingredients: Mapping[str, float]) -> list[str]:
        return [_bar(name, ingredients.get(name, 0.0)) for name in self.bars]

    def _licence(self, model: str) -> str:
        """Say what a model is, and under which licence its weights are."""
        card = next(card for card in self.service.cards() if card.name == model)
        return f"<p>{html.escape(card.description)} Weights: {html.escape(card.licence) or 'no licence given'}.</p>"


def _teller(progress: gr.Progress) -> Callable[[str, tuple[int, int] | None], None]:
    """Return what shows how far a photo is."""

    def tell(name: str, tiles: tuple[int, int] | None) -> None:
        progress(tiles or 0, desc=name, unit="tiles")

    return tell


def _sentence(ingredients: Mapping[str, float]) -> str:
    return f'<p class="sentence" role="status">{html.escape(explain.sentence(ingredients))}</p>'


def _list(lines: Sequence[str], attributes: str = "") -> str:
    """Return lines as a list, or nothing."""
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<ul{attributes}>{items}</ul>" if items else ""


def _bar(name: str, share: float | None) -> str:
    """Return the bar of a degradation's share."""
    number, words = (
        "not looked at yet" if share is None else f"{share:.0%}",
        html.escape(explain.words(name).capitalize()),
    )
    meter = f'<meter min="0" max="1" value="{share or 0:.3f}" aria-label="{words}">{number}</meter>'
    return f'<div class="found"><b>{words}</b><span>{number}</span>{meter}</div>'


def _theme() -> gr.themes.Base:
    """Return a theme whose fonts are the system's, and whose contrasts are at least 4.5 to 1."""
    theme = gr.themes.Default(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    return theme.set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_text_color="white",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
    )
