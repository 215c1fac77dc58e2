"""Tests of downloads.network."""

from huggingface_hub import constants
import pytest

from adapters_jax.downloads import network
from adapters_jax.downloads import pinned


@pytest.fixture(autouse=True)
def fresh():
  network.forget()
  yield
  network.forget()


def test_a_network_that_comes_back(monkeypatch, clock):
  asked, answers = [], [0, 200]
  monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)

  def status(address):
    asked.append(address)
    return answers.pop(0)

  monkeypatch.setattr(pinned, 'status', status)
  assert not network.reachable() and not network.reachable()
  assert asked == [constants.ENDPOINT]
  clock.seconds += 31
  assert network.reachable() and len(asked) == 2


def test_no_request_in_offline_mode(monkeypatch):
  monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
  monkeypatch.setattr(pinned, 'status', None)
  assert not network.reachable()
