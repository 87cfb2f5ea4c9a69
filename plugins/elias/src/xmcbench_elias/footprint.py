"""What ELIAS takes of memory and disk, stage by stage.

A label costs D numbers in each of several tables: weights, two moments of AdamW, the best and the newest weights of a
stage, stage 1's weights, and the dual encoder's vectors and embeddings. So does a feature of the bag of words.
"""

from __future__ import annotations

from xmcbench.method import Facts, Footprint, Machine
from xmcbench.methods.ance.footprint import TRANSFORMER, embedding_width, feature_rows, prepared_rows
from xmcbench.methods.sizes import TORCH, centroid_bytes, clustering_bytes
from xmcbench_elias.params import EliasParams, settled, sizes
from xmcbench_elias.ranking.linear import kinds_of, method_of

STAGE = 6  # tables of a stage: weights, two moments, best and newest weights, and the weights of stage 1
DUAL = 4  # tables while the dual encoder trains: weights, two moments, label embeddings
DUAL_KEPT = 2  # of its model, which is trained again in the end, and of its encoder and embeddings
FINISHED = 2  # of the network and of the network before the graph
GATHERED = (
    3  # times that rank 0 of several processes has a whole network in files: after stage 1, after stage 2, finally
)
POOL = 100  # labels mined for each row
COUNT = 80  # bytes per count of a label in a cluster while the graph's entries are sorted
SCORES = 10  # float32 numbers per row of a step and cluster, or label of its shortlist, with gradients
FINAL = 300 << 20  # bytes of all candidates' scores of 1,024 rows


def footprint(params: EliasParams, data: Facts, machine: Machine) -> Footprint:
    """The largest stage, and what its predecessors keep."""
    settings, size = settled(params, data.n_labels, data.n_train), sizes(params, data.n_labels)
    width = 4 * embedding_width(settings)
    table = width * (feature_rows(settings, data) + data.n_labels)
    adjacency = size.clusters * (12 * size.kappa + 16 * width // 4) if settings.index != "none" else 0
    clustering, graph = _index_bytes(data, settings.index, size.beam + settings.extra, size.clusters, width)
    batch = 4 * settings.batch * SCORES * (size.clusters + size.beam * size.leaf * 2)
    ranker = _ranker(params, data, machine)
    kept = DUAL_KEPT * table if settings.dual_epochs else 0
    dual = DUAL * table + 3 * width * data.n_train + 8 * POOL * data.n_train if settings.dual_epochs else 0
    others = (settings.members - 1) * 2 * table
    stages = kept + others + max(STAGE * table + 4 * adjacency + batch, 2 * table + max(clustering, graph))
    ranking = kept + others + FINISHED * table + ranker.memory + 2 * ranker.disk
    again = kept + others + FINISHED * table + dual + ranker.disk
    memory = TORCH + FINAL + prepared_rows(settings, data) + 8 * data.entries + max(stages, ranking, again)
    if settings.encoder != "bow":
        memory += TRANSFORMER
    checkpoints = (5 * settings.members + DUAL) * table + 3 * adjacency
    in_files = centroid_bytes(data)[1] if settings.index != "none" else 0
    gathered = GATHERED * settings.members * (table + adjacency) if machine.processes > 1 else 0
    return Footprint(memory=memory, disk=checkpoints + 3 * table + 2 * ranker.disk + in_files + gathered)


def _index_bytes(data: Facts, index: str, visited: int, clusters: int, width: int) -> tuple[int, int]:
    """Bytes of clustering the labels' centroids, and of counting how often labels and clusters meet."""
    if index == "none":
        return 0, 0
    centroids = centroid_bytes(data)[0] + clustering_bytes(data, copied=False)
    counts = min(data.pairs * visited, data.n_labels * clusters)
    return centroids, COUNT * counts + 20 * data.n_train * visited if index == "graph" else 0


def _ranker(params: EliasParams, data: Facts, machine: Machine) -> Footprint:
    """The larger of the linear methods that are fitted one after the other; all of their models are kept."""
    kinds = kinds_of(params.ranker, data.n_labels, data.entries)
    needs = [method_of(kind, data.n_labels).footprint(data, machine) for kind in kinds]
    return Footprint(max((need.memory for need in needs), default=0), sum(need.disk for need in needs) // 2)
