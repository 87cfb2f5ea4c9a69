"""What ELIAS takes of memory and disk, stage by stage.

A label costs D numbers in each of several tables: weights and moments of AdamW, the best weights of a stage, and the
dual encoder's vectors and embeddings. So does a feature of the bag of words. With 2,812,281 labels of 256 numbers the
stages held 8.4 (dual encoder), 14.0 (stage 1), 10.8 (graph) and 14.9 GiB (stage 2), see docs/scale_measured.md.
"""

from __future__ import annotations

from xmcbench.method import Facts, Footprint, Machine
from xmcbench.methods.ance.footprint import TRANSFORMER, embedding_width, feature_rows, prepared_rows
from xmcbench.methods.sizes import TORCH, centroid_bytes, clustering_bytes
from xmcbench_elias.params import EliasParams, settled, sizes
from xmcbench_elias.ranking.linear import kinds_of, method_of

ENTRY = 44  # bytes of an entry of the graph: label, logit, moments, gradient and the values of a step
KEPT = 16  # bytes of an entry of a trained graph: label, logit, and room for rows above κ
GATHERED = 3  # times that rank 0 of several processes has a whole network in files: after stage 1, stage 2, finally
POOL = 100  # labels mined for each row
COUNT = 100  # bytes per count of a label in a cluster, of those that are sorted at a time
PRODUCTS = 1 << 23  # counts that are sorted at a time, as in training/graph.py, which imports torch
SHARED = 1 << 29  # bytes of a table with one second moment per row, as in xmcbench/tables/optim.py
VISIT = 64  # bytes per cluster that a training row visits, while they are counted
SCORES = 10  # float32 numbers per row of a step and cluster, or label of its shortlist, with gradients
FINAL = 300 << 20  # bytes of all candidates' scores of 1,024 rows


def footprint(params: EliasParams, data: Facts, machine: Machine) -> Footprint:
    """The largest stage, and what its predecessors keep."""
    settings, size = settled(params, data.n_labels, data.n_train), sizes(params, data.n_labels)
    width = 4 * embedding_width(settings)
    labels, features = width * data.n_labels, width * feature_rows(settings, data)
    table, moments = labels + features, _moments(labels) + _moments(features)
    classifiers = (width + 4) * size.clusters + 4 * data.n_labels  # of clusters, and biases
    entries = size.clusters * size.kappa if settings.index != "none" else 0
    batch = 4 * settings.batch * SCORES * (size.clusters + size.beam * size.leaf * 2)
    ranker = _ranker(params, data, machine)
    embeddings = labels + features if settings.dual_epochs else 0  # of the dual encoder, with its encoder
    kept = table + embeddings if settings.dual_epochs else 0
    rows = 3 * width * data.n_train + 8 * POOL * data.n_train
    dual = table + moments + embeddings + labels + rows if settings.dual_epochs else 0  # and the index of embeddings
    best = table if max(settings.stage1_epochs, settings.stage2_epochs) > 1 else 0
    network = settings.members * (table + classifiers + KEPT * entries)
    step = moments + 2 * classifiers + best + ENTRY * entries + batch
    stages = kept + network + max(step, _index_bytes(params, data))
    ranking = kept + network + labels + FINAL + ranker.memory
    again = network + dual
    memory = TORCH + prepared_rows(settings, data) + 8 * data.entries + max(dual, stages, ranking, again)
    if settings.encoder != "bow":
        memory += TRANSFORMER
    checkpoints = (5 * settings.members + 4) * table + 36 * entries
    in_files = centroid_bytes(data)[1] if settings.index != "none" else 0
    gathered = GATHERED * network if machine.processes > 1 else 0
    return Footprint(memory=memory, disk=checkpoints + 3 * table + 2 * ranker.disk + in_files + gathered)


def _moments(table: int) -> int:
    """Bytes of AdamW's moments of a table: the second is one number per row where tables are large."""
    return table if table >= SHARED else 2 * table


def _index_bytes(params: EliasParams, data: Facts) -> int:
    """Bytes of clustering the labels' centroids, or of counting how often labels and clusters meet."""
    settings, size = settled(params, data.n_labels, data.n_train), sizes(params, data.n_labels)
    if settings.index == "none":
        return 0
    centroids = centroid_bytes(data)[0] + clustering_bytes(data, copied=False)
    visited = size.beam + settings.extra
    counts = min(data.pairs * visited, data.n_labels * size.clusters, PRODUCTS)
    graph = COUNT * counts + VISIT * data.n_train * visited if settings.index == "graph" else 0
    return max(centroids, graph)


def _ranker(params: EliasParams, data: Facts, machine: Machine) -> Footprint:
    """Of the linear methods, which are fitted one after the other; all of their models are kept."""
    memory = models = 0
    for kind in kinds_of(params.ranker, data.n_labels, data.entries):
        need = method_of(kind, data.n_labels).footprint(data, machine)
        memory = max(memory, models + need.memory)
        models += need.disk // 2  # the model, and as much for checkpoints
    return Footprint(memory, models)
