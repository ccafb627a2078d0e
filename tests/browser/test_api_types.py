"""The page's types are the API's."""

from tests.browser.api_types import COMMITTED, generate


def test_the_page_s_types_are_those_the_service_describes() -> None:
    """What is committed is what comes out of the description of the API as it is now; `make api-types` renews it."""
    assert generate() == COMMITTED.read_text(), "the API has changed: run `make api-types` and look at what differs"
