"""What the other browser tests lean on: that a page at rest has everything, and that nothing wrong goes unheard."""

import time

import pytest


def test_a_page_whose_answers_come_late_is_waited_for(watch):
    seen = watch()
    answered = []

    def late(route):
        time.sleep(0.3)
        answered.append(route.request.url)
        route.continue_()

    seen.page.route("**/_dash-update-component*", late)
    seen.page.route("**/rows/customers*", late)
    try:
        seen.open("/customers")
        # the page, then its totals and its map, then the rows: each is asked for when the one before has come
        assert len([url for url in answered if "_dash-update-component" in url]) == 3
        assert any("/rows/customers" in url for url in answered)
        assert seen.page.locator(".totals strong").first.inner_text() == "3,000"
        assert seen.page.locator("#heatmap .main-svg").count() > 0
    finally:
        seen.page.unroute_all()


@pytest.mark.parametrize(
    ("script", "heard"),
    [
        ("console.error('this is wrong')", "error: this is wrong"),
        ("console.warn('this is odd')", "warning: this is odd"),
        ("setTimeout(() => { throw new Error('thrown') }, 0)", "exception: thrown"),
        ("fetch('/rows/nothing').then(answer => answer.text())", "404: "),
        ("document.body.append(Object.assign(new Image(), { src: 'http://192.0.2.1/pixel.png' }))", "error: "),
    ],
)
def test_what_goes_wrong_is_heard(watch, script, heard):
    seen = watch().open("/models")
    seen.page.evaluate(f"() => {{ {script} }}")
    seen.settle()
    assert any(line.startswith(heard) for line in seen.wrong)
    seen.wrong.clear()
