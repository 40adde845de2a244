"""What travels beside an output from the sequencer to the far end of the pipeline."""

from amaranth.lib import data


def output_tags() -> data.StructLayout:
    """Tags of one output: one plane of one tile of one pixel."""
    return data.StructLayout({
        "plane_last": 1,      # the next output is another tile's, or of the next pixel
        "last_tile": 1,
        "pool_first": 1,      # first and last pixel of a pooling window
        "pool_last": 1,
        "pool_column_end": 1, # the next pixel belongs to the next window of the row
        "row_end": 1,         # of a row that another follows
        "op_last": 1,
    })  # fmt: skip
