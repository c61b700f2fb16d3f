"""Training steps in shards of a batch, whose bits do not depend on how many processes share the shards."""

from neurenix.parallel.ranks import Ranks as Ranks, ranks as ranks
from neurenix.parallel.shards import Shards as Shards
