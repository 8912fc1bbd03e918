"""The page in headless Chromium: type, read, filter, open, go back, and documents full of HTML."""

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from serving import serving

from hpdsearch import Document, Index

playwright = pytest.importorskip("playwright.sync_api", reason="browser tests need the extra dev (playwright)")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="browser tests need Chromium (Debian: apt-get install chromium)"),
]
# A browser of tests asks no other machine for anything.
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SCRIPT = "<script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\"> &amp; <b>bold</b>"
LONG = "\n\n".join(f"Paragraph {n} tells of rivers, hills and small towns of the north." for n in range(300))
DOCUMENTS = [
    Document("a b", "a morbid fear of spiders", "arachnophobia", {"year": 1920, "kind": "fear"}),
    Document(
        "c", "a morbid fear of closed places", "claustrophobia", {"year": 1879, "kind": "fear"}, "", ((0, "page 3"),)
    ),
    Document("s1", "an instrument for measuring earthquakes", "seismograph", {"year": 1858, "kind": "tool"}),
    Document("j1", "a feeling of great happiness", "joy", {"year": 1400, "kind": "feeling"}),
    Document("x/y?z#1", f"the evil cat {SCRIPT}", f"evil {SCRIPT}", {"kind": SCRIPT[:40]}),
    Document("..", f"{LONG}\n\nThe old cat 😀 sleeps on the boat.\n\n{LONG}", "a long story", {"kind": "story"}),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Any) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("page") / "words"
    Index.build(folder, DOCUMENTS, encoder=tiny_encoder).close()
    with serving(folder) as (_, port):
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """Yield the page; a test fails if the page asks another address, or reports an error."""
    context = browser.new_context(viewport={"width": 1300, "height": 850})
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    opened.on("request", lambda request: None if request.url.startswith(address) else problems.append(request.url))
    opened.goto(address)
    yield opened
    context.close()
    assert [one for one in problems if not re.search("status of 4|ERR_FAILED", one)] == []


def titles(page: Any) -> list[str]:
    return page.locator("#hits .open").all_inner_texts()


def ask(page: Any, text: str) -> None:
    page.fill("#query", text)
    page.wait_for_function("text => location.search.includes(new URLSearchParams({q: text}).toString())", arg=text)
    page.wait_for_selector("#hits .hit, #nothing:not([hidden])")
    page.wait_for_function("() => !document.body.classList.contains('busy')")


def test_typing_shows_hits_with_marked_words_and_times(page):
    playwright.expect(page.locator("#welcome")).to_be_visible()
    ask(page, "spiders")
    playwright.expect(page.locator("#hits .open").first).to_have_text("arachnophobia")
    assert page.locator("#hits .hit").first.locator("mark").all_inner_texts() == ["spiders"]
    times = page.locator("#status .time").all_inner_texts()
    assert [re.sub(r" [\d.]+ ms", "", time) for time in times] == ["encode", "search", "total"]
    page.wait_for_selector("#map:not([hidden]) .point")
    assert page.locator("#map .point").count() == len(titles(page))
    page.locator("#hits .why summary").first.click()
    assert "cosine" in page.locator("#hits .why").first.inner_text()


def test_a_search_given_up_while_its_map_and_reasons_are_made_is_no_error(page):
    waiting: list[Any] = []  # requests that are never answered: map, and hits with reasons
    page.route(re.compile("/map"), lambda route: waiting.append(route))
    page.route(
        re.compile("/search"),
        lambda route: waiting.append(route) if "explain" in (route.request.post_data or "") else route.continue_(),
    )
    ask(page, "fear")
    page.wait_for_timeout(1000)  # until both are asked for
    assert len(waiting) == 2
    ask(page, "cat")  # the fixture fails if the page reports an error
    page.wait_for_timeout(100)


def test_a_hit_and_its_document_name_the_place(page):
    ask(page, "closed places")
    hit = page.locator("#hits .hit").first
    assert hit.locator(".location").inner_text() == "page 3"
    hit.locator(".open").click()
    playwright.expect(page.locator("#panel-body dl")).to_contain_text("page 3")


def test_documents_full_of_html_are_shown_as_text(page):
    ask(page, "evil cat")
    assert titles(page)[0] == f"evil {SCRIPT}"
    page.locator("#hits .open").first.click()
    playwright.expect(page.locator("#panel-title")).to_have_text(f"evil {SCRIPT}")
    assert f"the evil cat {SCRIPT}" in page.inner_text("#panel-body")
    assert page.locator("main img, main script, main b, #panel img, #panel script, #panel b").count() == 0
    assert page.title() == "evil cat · hpdsearch"


def test_a_filter_is_a_chip_and_the_address_holds_it(page, address):
    ask(page, "fear")
    page.click("#filters-button")
    page.locator("#chips .chip", has_text=re.compile("^feeling")).click()
    playwright.expect(page.locator("#hits .open")).to_have_text(["joy"])
    assert "f=kind%3Afeeling" in page.url
    chip = page.locator("#chips .chip", has_text=re.compile("^feeling"))
    assert chip.get_attribute("aria-pressed") == "true"
    page.reload()
    playwright.expect(page.locator("#hits .open")).to_have_text(["joy"])
    page.click("#filters-button")
    page.click("#clear-filters")
    playwright.expect(page.locator("#hits .open")).to_have_count(len(DOCUMENTS))
    page.fill("#where", "year >= 1900")
    page.press("#where", "Enter")
    playwright.expect(page.locator("#hits .open")).to_have_text(["arachnophobia"])
    page.fill("#where", "year >>> 1")
    page.press("#where", "Enter")
    playwright.expect(page.locator("#notice")).to_contain_text("expected")


def test_fields_may_be_called_as_what_every_object_has(page, address):
    page.goto(f"{address}?q=cat&f=__proto__%3Ax&f=constructor%3Ay")
    playwright.expect(page.locator("#filters-button")).to_have_text("Filters (2)")
    page.click("#filters-button")
    playwright.expect(page.locator("#chips .chip[aria-pressed=true]")).to_have_text(["x", "y"])
    page.locator("#chips .chip", has_text=re.compile("^x")).click()
    playwright.expect(page.locator("#filters-button")).to_have_text("Filters (1)")
    page.click("#clear-filters")
    playwright.expect(page.locator("#hits .open")).to_have_count(len(DOCUMENTS))


def test_a_value_that_is_code_is_only_a_value(page):
    ask(page, "cat")
    page.click("#filters-button")
    page.locator("#chips .chip", has_text="<script>").click()
    playwright.expect(page.locator("#hits .hit")).to_have_count(1)
    assert page.title() == "cat · hpdsearch"


def test_a_document_opens_at_its_passage_and_back_closes_it(page):
    page.locator("#modes span", has_text="Words").click()
    ask(page, "sleeps boat")
    page.locator("#hits .open", has_text="a long story").click()
    found = page.locator("#panel .found")
    playwright.expect(found).to_be_in_viewport()
    assert found.inner_text() == page.locator("#hits .passage").first.inner_text()
    assert page.evaluate("document.activeElement.id") == "panel-body"
    page.go_back()
    playwright.expect(page.locator("#panel")).to_be_hidden()
    assert page.input_value("#query") == "sleeps boat"
    page.go_forward()
    playwright.expect(page.locator("#panel")).to_be_visible()


def test_more_like_this_finds_others_and_back_returns(page):
    ask(page, "spiders")
    page.get_by_role("button", name="More like this: arachnophobia").click()
    playwright.expect(page.locator("#like")).to_contain_text("Documents like a b")
    playwright.expect(page.locator("#hits .open")).to_have_count(len(DOCUMENTS) - 1)
    assert "arachnophobia" not in titles(page)
    page.go_back()
    playwright.expect(page.locator("#hits .open").first).to_have_text("arachnophobia")
    assert page.input_value("#query") == "spiders"


def test_the_keyboard_is_enough(page):
    page.locator("body").press("/")
    assert page.evaluate("document.activeElement.id") == "query"
    ask(page, "morbid fear")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent") == titles(page)[1]
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#panel")).to_be_visible()
    page.keyboard.press("Escape")
    playwright.expect(page.locator("#panel")).to_be_hidden()
    assert page.evaluate("document.activeElement.textContent") == titles(page)[1]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.id") == "query"


def test_the_mode_ranks_by_words_and_nothing_found_is_explained(page):
    ask(page, "zebra")
    page.locator("#modes span", has_text="Words").click()
    playwright.expect(page.locator("#nothing")).to_contain_text("No document holds these words")
    assert "mode=lexical" in page.url
    page.locator("#modes span", has_text="Both").click()
    playwright.expect(page.locator("#hits .hit")).to_have_count(len(DOCUMENTS))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(page, theme):
    """axe-core reads the page as a screen reader does: names, roles, contrast, order."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    page.emulate_media(color_scheme=theme)
    found = []

    def check(view: str) -> None:
        page.wait_for_timeout(400)
        for problem in axe.Axe().run(page).response["violations"]:
            if problem["impact"] in ("serious", "critical"):
                nodes = [node["html"][:100] for node in problem["nodes"]]
                found.append((view, problem["id"], nodes))

    check("start")
    ask(page, "morbid fear of spiders")
    page.wait_for_selector("#map:not([hidden]) .point")
    page.click("#filters-button")
    check("results")
    page.locator("#hits .open").first.click()
    page.wait_for_selector("#panel:not([hidden])")
    check("document")
    page.keyboard.press("Escape")
    page.fill("#where", "year > 9999")
    page.press("#where", "Enter")
    page.wait_for_selector("#nothing:not([hidden])")
    check("nothing")
    assert found == []


def test_a_phone_shows_everything_without_scrolling_sideways(page):
    page.set_viewport_size({"width": 360, "height": 740})
    ask(page, "morbid fear of spiders")
    page.wait_for_selector("#map:not([hidden]) .point")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator("#hits .open").first.click()
    playwright.expect(page.locator("#close")).to_be_in_viewport()
    assert page.evaluate("document.querySelector('#panel').getBoundingClientRect().width") == 360


def test_an_index_that_is_not_there_is_named(page, address):
    page.goto(f"{address}?index=nowhere&q=spiders")
    playwright.expect(page.locator("#notice")).to_have_text("There is no index nowhere here. This is words.")
    playwright.expect(page.locator("#hits .open").first).to_have_text("arachnophobia")


def test_an_answer_that_comes_late_is_dropped(page):
    held = []
    page.route("**/search", lambda route: held.append(route) if "spi" in route.request.post_data else route.continue_())
    page.fill("#query", "spiders")
    page.wait_for_timeout(400)
    assert len(held) == 1
    ask(page, "happiness")
    playwright.expect(page.locator("#hits .open").first).to_have_text("joy")
    for route in held:
        route.continue_()
    page.wait_for_timeout(300)
    assert titles(page)[0] == "joy"


def test_without_the_service_the_page_says_so_and_recovers(page):
    page.route("**/search", lambda route: route.abort())
    page.route("**/health", lambda route: route.abort())
    page.fill("#query", "happiness")
    playwright.expect(page.locator("#notice")).to_contain_text("The service does not answer")
    page.unroute("**/search")
    page.unroute("**/health")
    playwright.expect(page.locator("#hits .open").first).to_have_text("joy", timeout=15_000)
    assert page.locator("#notice").is_hidden()
