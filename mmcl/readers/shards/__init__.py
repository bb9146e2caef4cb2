"""A store of recordings in shards: Arrow IPC files, mapped into memory, with a table of what is where.

STORE/store.json            what each modality holds, and what made the features
STORE/PART.MODALITY.arrow   rows of its recordings, one behind the other, in batches of ``BATCH_ROWS``
STORE/PART.index.arrow      a row a recording: name, split, labels, group, events, and where its rows are; written last

A part is what one writer wrote at a time; any number of writers add parts to a store, and none changes another's. Arrow
IPC was chosen over Lance, Zarr and Parquet by ``tools/benchmark.py --only formats``: on this access (a few hundred rows
in a row, at random) nothing is decoded or decompressed, and the operating system's cache is shared by all processes.
"""

from mmcl.readers.shards.layout import StoredModality, is_store
from mmcl.readers.shards.reader import ShardStore, StoredArray
from mmcl.readers.shards.writer import ShardWriter

__all__ = ["ShardStore", "ShardWriter", "StoredArray", "StoredModality", "is_store"]
