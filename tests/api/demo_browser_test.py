"""Tests of the demo's page in a browser."""

import dataclasses
import re

import pytest

from adapters_jax.adapters import prediction
from adapters_jax.model import base as base_lib
from scripts import browsers
from tests.adapters import bank_test

pytestmark = [pytest.mark.browser, pytest.mark.skipif(
    bool(browsers.missing()), reason=browsers.missing() or 'a browser')]


make = bank_test.make_two_layers


@pytest.fixture(scope='module')
def checkpoint(two_layers):
  """Two layers, as each has a switch."""
  return two_layers


@pytest.fixture(scope='module')
def served(checkpoint):
  """(port, base, bank) of a demo of two adapters."""
  from adapters_jax.api import demo_answers
  from adapters_jax.api import demo_service
  base = base_lib.load(checkpoint)
  bank = {name: dataclasses.replace(
      make('lora[r=2]', seed), labels=('<b>bad</b>', 'good'))
          for seed, name in enumerate(('film', 'food'))}
  app = demo_service.make(demo_answers.Answers(base, bank))
  with browsers.serving(app) as (port, _):
    yield port, base, bank


@pytest.fixture
def page(served):
  """The page in a browser, which must report no error."""
  faults = []
  with browsers.page() as found:
    found.on('pageerror', lambda error: faults.append(str(error)))
    found.on('console', lambda message: faults.append(message.text)
             if message.type in ('error', 'warning') else None)
    found.set_default_timeout(60_000)  # Milliseconds.
    found.goto(f'http://127.0.0.1:{served[0]}/')
    settled(found)
    yield found
  assert not faults


def settled(page):
  """Waits for the answer to the last change."""
  page.locator('#answers[aria-busy=false]').wait_for()


def shares(page, name):
  """Returns the percentages of an adapter's bars."""
  card = page.get_by_role('article', name=name, exact=True)
  return [float(re.match(r'[\d.]+', text)[0])
          for text in card.locator('.share').all_inner_texts()]


def test_a_sentence_adapters_layers_and_a_composition(page, served):
  _, base, bank = served
  page.get_by_label('Text', exact=True).fill('a very dull film')
  settled(page)
  for name, adapter in bank.items():
    one, = prediction.predict(base, adapter, ['a very dull film'])
    assert shares(page, name) == pytest.approx(
        [100 * share for share in one.probabilities.values()], abs=0.06)
  # Names of classes are texts, not HTML.
  assert page.locator('.bar b').count() == 0
  assert page.get_by_text('<b>bad</b>').first.is_visible()
  whole = shares(page, 'film')
  layer = page.get_by_label('Layer 1', exact=True)
  layer.focus()
  page.keyboard.press('Space')
  settled(page)
  assert not layer.is_checked() and shares(page, 'film') != whole
  assert page.locator('.was').count() == 4
  page.get_by_label('Show the effect of each layer').check()
  settled(page)
  assert page.get_by_role('listitem').count() == 4
  page.get_by_role('button', name='All on').click()
  settled(page)
  assert shares(page, 'film') == whole
  page.get_by_label('Stack').check()
  settled(page)
  assert page.get_by_role('heading', name='stack(').inner_text() == (
      'stack(film, food, norms=last)')
  composed = shares(page, 'composed')
  page.get_by_role('button', name='Move food up').click()
  settled(page)
  assert page.get_by_role('heading', name='stack(').inner_text() == (
      'stack(food, film, norms=last)')
  assert shares(page, 'composed') != composed
  page.get_by_role('switch', name='Adapter food').click()
  settled(page)
  assert not page.get_by_role('article', name='composed').is_visible()
  assert not page.get_by_role('article', name='food').locator(
      '.bar').first.is_visible()
  assert 'two adapters' in page.locator('#compose-note').inner_text()


def test_it_fits_a_phone_and_all_controls_have_names(page):
  page.set_viewport_size({'width': 320, 'height': 640})
  page.get_by_label('Show the effect of each layer').check()
  settled(page)
  assert page.evaluate('document.documentElement.scrollWidth') <= 320
  unnamed = page.evaluate('''() => [...document.querySelectorAll(
      'input, select, textarea, button')].filter((node) => !(
      node.getAttribute('aria-label') || node.labels?.length
      || node.textContent.trim())).map((node) => node.outerHTML)''')
  assert unnamed == []


@pytest.mark.parametrize('scheme', ('light', 'dark'))
def test_texts_have_contrast(page, scheme):
  page.emulate_media(color_scheme=scheme)
  ratios = page.evaluate('''() => {
    const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = (rgb) => {
      const [r, g, b] = rgb.slice(0, 3).map((c) => c / 255).map(
        (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (node) => {
      for (; node; node = node.parentElement) {
        const color = getComputedStyle(node).backgroundColor;
        const values = numbers(color);
        if (values.length < 4 || values[3] > 0) return values;
      }
      return [255, 255, 255];
    };
    return [...document.querySelectorAll(
        'h1, h2, h3, p, label, .bar span, .layers span, button')]
      .filter((node) => node.textContent.trim() && node.checkVisibility())
      .map((node) => {
        const pair = [light(numbers(getComputedStyle(node).color)),
          light(ground(node))].sort();
        return [(pair[1] + 0.05) / (pair[0] + 0.05), node.textContent];
      });
  }''')
  assert len(ratios) > 15
  # WCAG 2.1, level AA; not for controls that are disabled.
  low = [text for ratio, text in ratios if ratio < 4.5]
  assert set(low) <= {'\u2191', '\u2193'}
