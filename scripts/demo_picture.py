"""Takes the picture of the demo in docs/demo.md.

  python -m scripts.demo_picture --adapters=film=DIR,food=DIR

The extras 'demo' and 'browser', and Chromium, are needed.
"""

import dataclasses
import os

from adapters_jax import errors
from adapters_jax.adapters import folders
from adapters_jax.api import flags
from adapters_jax.runs.options import option
from scripts import browsers

_LARGEST = 150_000  # Bytes.


@dataclasses.dataclass(frozen=True)
class Picture:
  """Settings of the picture; every field is a flag."""
  adapters: str = option('', 'Folders of adapters, each DIR or name=DIR.')
  checkpoint: str = option('', 'Their base, if it is a folder.')
  text: str = option(
      'Not bad at all, although the plot is thin.', 'Text on the page.')
  off: str = option('5', 'Layers without adapters, with commas.')
  dark: bool = option(False, 'The dark page.')
  width: int = option(1040, 'Width in pixels of CSS.')
  output: str = option('docs/figures/demo.png', 'PNG file to write.')


def main(config: Picture) -> None:
  """Opens the page, changes its controls and writes what it shows."""
  folders.parse_existing(config.adapters)
  if missing := browsers.missing():
    raise errors.UserError(missing)
  from adapters_jax.api import banks
  from adapters_jax.api import bodies
  from adapters_jax.api import demo_answers
  from adapters_jax.api import demo_service
  from adapters_jax.runs import session
  session.enable_compilation_cache()
  base, bank = banks.load(config.adapters, config.checkpoint)
  app = demo_service.make(
      demo_answers.Answers(base, bank), bodies.Limits(timeout=600.0))
  with browsers.serving(app) as (port, _), browsers.page(
      viewport={'width': config.width, 'height': 600},
      color_scheme='dark' if config.dark else 'light',
      reduced_motion='reduce') as page:
    page.set_default_timeout(600_000)  # Milliseconds.
    page.goto(f'http://127.0.0.1:{port}/')
    page.get_by_label('Text', exact=True).fill(config.text)
    for layer in filter(None, config.off.split(',')):
      page.get_by_label(f'Layer {layer}', exact=True).uncheck()
    if len(bank) > 1:
      page.get_by_label('Stack').check()
    answered = page.locator('#answers[aria-busy=false]')
    answered.wait_for()  # With the time of compiling.
    page.get_by_label('Show the effect of each layer').check()
    answered.wait_for()
    page.screenshot(path=config.output, full_page=True)
  size = os.path.getsize(config.output)
  print(f'{config.output}: {size:,} bytes')
  if size > _LARGEST:
    raise errors.UserError(f'`output`: more than {_LARGEST:,} bytes')


if __name__ == '__main__':
  flags.start(Picture, main)
