"""What a dual encoder takes of memory and disk."""

from __future__ import annotations

from xmcbench.encoders.params import EncoderParams
from xmcbench.method import Facts, Footprint
from xmcbench.methods.ance.params import Settled
from xmcbench.methods.sizes import TORCH, vocabulary

TRANSFORMER = 1 << 30  # bytes of a MiniLM with its optimiser and the activations of a batch
TRANSFORMER_WIDTH = 384  # of MiniLM's embeddings
BATCH = 12  # embeddings per row and label of a step that exist at once, with gradients
FROM_TEXT = 12  # bytes of prepared rows per byte of their texts, with what is cut and counted on the way


def footprint(params: Settled, data: Facts) -> Footprint:
    """Bytes while label embeddings are searched for all rows, after the last step.

    A feature or label vector has D numbers, and twice as many moments; embeddings of labels exist in the index, too.
    """
    row, tables = 4 * embedding_width(params), feature_rows(params, data)
    model = row * (tables + data.n_labels)
    pools = 8 * data.n_train * params.pool
    batch = BATCH * row * params.batch * (1 + params.positives)
    search = 3 * row * data.n_labels + 3 * row * data.n_train + pools
    classifier = 3 * row * data.n_labels if params.classifier else 0
    memory = TORCH + prepared_rows(params, data) + 3 * model + search + batch + classifier
    if params.encoder != "bow":
        memory += TRANSFORMER
    return Footprint(memory=memory, disk=4 * model + 4 * data.n_train * params.pool)


def embedding_width(params: EncoderParams) -> int:
    """D: numbers of an embedding."""
    return int(params.width) if params.encoder == "bow" else TRANSFORMER_WIDTH


def feature_rows(params: EncoderParams, data: Facts) -> int:
    """Rows of the encoder's table of features; a transformer's are in `TRANSFORMER`."""
    if params.encoder != "bow":
        return 0
    return vocabulary(data) if reads_texts(params, data) else data.n_features


def reads_texts(params: EncoderParams, data: Facts) -> bool:
    """Whether the encoder reads texts instead of features; a bag of words does if rows and labels have them."""
    return params.encoder != "bow" or {"texts", "label_texts"} <= data.available


def prepared_rows(params: EncoderParams, data: Facts) -> int:
    """Bytes of the rows as the encoder takes them, beside the data set."""
    return FROM_TEXT * data.text_bytes if reads_texts(params, data) else 0
