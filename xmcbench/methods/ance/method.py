"""Dense retrieval: one encoder for documents and label texts, trained on self-mined hard negatives.

Sources: ANCE (Xiong et al., ICLR 2021) for negatives from an index over the current embeddings; DPR (Karpukhin et al.,
EMNLP 2020) for in-batch negatives; NGAME (Dahiya et al., WSDM 2023) for batches of near neighbours and for the
classifier; DEXML (Gupta et al., ICLR 2024) for the decoupled softmax and the pool of 100.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from xmcbench.encoders.params import identity, lacks, missing
from xmcbench.errors import install_extra
from xmcbench.files import write_npz
from xmcbench.method import Footprint, Inputs, Machine, MethodInfo, TrainData
from xmcbench.methods.ance.params import AnceParams, check, settled
from xmcbench.methods.helpers import not_a_model, not_fitted, spread
from xmcbench.npz_files import map_npz
from xmcbench.topk import PAD, TopK

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench.dense.index import LabelIndex
    from xmcbench.encoders.encoder import Encoder
    from xmcbench.method import Facts
    from xmcbench.methods.ance.classifier import Classifier

FILE = "labels.npz"
SAMPLE = 512  # training rows on which the recall of an approximate index is measured
KS = (10, 100)  # cut-offs of that recall


class Ance:
    """The labels nearest to a row by the inner product of their embeddings.

    Labels are embedded from their texts; a label without a text has only a learned vector. A label without a training
    row is predicted by its text (zero-shot); a label with neither is never predicted, so a row can have fewer than k
    labels.
    """

    info: ClassVar[MethodInfo] = MethodInfo(
        name="ance",
        summary="dual encoder for documents and label texts with mined hard negatives, as ANCE, DPR and NGAME",
        family="dense",
        version="1",
        citation=(
            "@inproceedings{xiong2021ance, title={Approximate Nearest Neighbor Negative Contrastive Learning for Dense "
            "Text Retrieval}, author={Xiong, Lee and Xiong, Chenyan and Li, Ye and Tang, Kwok-Fung and Liu, Jialin and "
            "Bennett, Paul and Ahmed, Junaid and Overwijk, Arnold}, booktitle={ICLR}, year={2021}}"
        ),
        parameters=AnceParams,
        devices=("cpu", "cuda"),
        scores="inner product of the row's unit embedding and the label's; classifier=true: mean of that and a margin",
        comparable=True,
        seconds={"icd10cm": 180},
    )

    def __init__(self, params: AnceParams) -> None:
        check(params)
        self.params = settled(params)
        self.encoder: Encoder | None = None
        self.index: LabelIndex | None = None
        self.classifier: Classifier | None = None
        self.sample = np.empty((0, 0), np.float32)

    def skip(self, data: Facts, machine: Machine) -> str | None:
        """Name a missing package or input of the encoder or the search."""
        if self.params.search == "hnsw" and find_spec("faiss") is None:
            return f"search=hnsw needs faiss, which is not installed; {install_extra('ann')}"
        return lacks(self.params, data)

    def footprint(self, data: Facts, machine: Machine) -> Footprint:
        """See `xmcbench.methods.ance.footprint`."""
        from xmcbench.methods.ance.footprint import footprint

        return footprint(self.params, data)

    def depends_on(self) -> dict[str, str]:
        """The identity of the pretrained model, if the encoder is one."""
        return identity(self.params)

    def fit(self, train: TrainData, ctx: RunContext) -> None:
        """Train in the phases encode, train (with refreshes), index, and, on request, shortlists and classifier."""
        import torch

        from xmcbench.dense.index import LabelIndex
        from xmcbench.encoders.making import facts, new_encoder
        from xmcbench.methods.ance.dual import DualEncoder, LabelSide
        from xmcbench.methods.ance.training import Training

        params = self.params
        with ctx.phase("encode"):
            encoder = new_encoder(params, train, train.label_texts, ctx.seed("encoder"), ctx.device, ctx.progress)
            rows = encoder.rows(train, ctx.progress)
            reads_texts = train.texts is not None if params.encoder == "bow" else True
            labels = LabelSide.of(encoder, train.label_texts if reads_texts else None, train.n_labels, ctx.progress)
            seen = np.bincount(train.labels.indices, minlength=train.n_labels) > 0
            # Labels with a text but no training row get no vector, which could only be pushed away as a negative.
            with_vector = (labels.place < 0) | seen if params.vectors == "all" else labels.place < 0
            generator = torch.Generator().manual_seed(ctx.seed("label vectors"))
            model = DualEncoder(encoder, labels, with_vector, generator).to(ctx.device)
        known = seen | (labels.place >= 0)
        training = Training(model, rows, train.labels, params, seen, ctx)
        with ctx.phase("train"):
            training.run()
        ctx.note("settings", asdict(params))
        ctx.note("epochs", training.state.history)
        ctx.note("refresh", training.cost())
        self.encoder = encoder
        with ctx.phase("index"):
            embeddings = model.embed_labels(ctx.device, ctx.progress)
            documents = model.embed_documents(rows, ctx.device, ctx.progress)
            self.index = LabelIndex.of(embeddings, known, params.search, ctx.device)
        self.sample = documents[spread(len(documents), SAMPLE)]
        ctx.note("labels", {"by text": int((labels.place >= 0).sum()), "zero-shot": int((known & ~seen).sum())})
        if params.classifier:
            self._train_classifier(documents, embeddings, train, seen, ctx)
        ctx.note("encoder", facts(encoder, params))
        self._remark(train, ctx)

    def _remark(self, train: TrainData, ctx: RunContext) -> None:
        """Remark on runs that mined nothing, or that would use a better encoder or index if it were installed."""
        from xmcbench.dense.index import MANY

        if self.params.negatives != "in-batch" and self.params.epochs <= self.params.warm_up:
            ctx.remark("ance mined nothing: all epochs were warm-up. Lower warm_up or raise epochs.")
        if (
            self.params.encoder == "bow"
            and train.texts is not None
            and (reason := missing(replace(self.params, encoder="minilm")))
        ):
            ctx.remark(f"ance read texts as bags of words. For a transformer, ance[encoder=minilm]: {reason}")
        assert self.index is not None
        if self.params.search == "auto" and self.index.how == "exact" and len(self.index.ids) >= MANY:
            ctx.remark(f"ance compared rows with every label. For approximate search, {install_extra('ann')}")

    def _train_classifier(
        self,
        documents: NDArray[np.float32],
        embeddings: NDArray[np.float32],
        train: TrainData,
        seen: NDArray[np.bool_],
        ctx: RunContext,
    ) -> None:
        from xmcbench.methods.ance.classifier import train_classifier

        assert self.index is not None
        with ctx.phase("shortlists"):
            near = self.index.search(documents, self.params.pool, self.params.ef, ctx.device, ctx.progress)
        with ctx.phase("classifier"):
            # Labels without a training row could only be pushed away as negatives.
            shortlists = np.where((near.ids >= 0) & seen[near.ids], near.ids, PAD).astype(np.int32)
            inputs = documents, train.labels, embeddings, shortlists
            self.classifier = train_classifier(*inputs, self.params, ctx)

    def warm_up(self, ctx: RunContext) -> None:
        """Compile the prediction code, and record the recall of an approximate index."""
        assert self.index is not None
        ef, count = int(ctx.query.get("ef", self.params.ef)), len(self.index.ids)
        near = self.index.search(self.sample[:2], min(10, count), ef, ctx.device)
        if self.classifier is not None:
            self.classifier.rerank(self.sample[:2], near, self.params.temperature, 1)
        facts: dict[str, object] = {"by": self.index.how, "labels": count}
        if self.index.how != "exact":
            facts["ef"] = ef
            facts |= {f"recall@{k} on training rows": self.index.recall(self.sample, k, ef) for k in KS if k <= count}
        ctx.note("search", facts)

    def predict(self, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
        """The k nearest labels, re-ranked by the classifier if there is one; `ctx.query["ef"]` is of hnsw and lists."""
        from xmcbench.encoders.encoder import embed, placed
        from xmcbench.methods.ance.dual import unit

        if self.encoder is None or self.index is None:
            raise not_fitted("ance", "predict")
        placed(self.encoder, ctx.device)
        documents = unit(embed(self.encoder, self.encoder.rows(inputs, ctx.progress), ctx.device, ctx.progress))
        ef = int(ctx.query.get("ef", self.params.ef))
        n_nearest = k if self.classifier is None else max(k, self.params.pool)
        top = self.index.search(documents, n_nearest, ef, ctx.device, ctx.progress)
        if self.classifier is not None:
            top = self.classifier.rerank(documents, top, self.params.temperature, k)
        return top

    def save(self, folder: Path) -> None:
        """Write the encoder to a subfolder, and the index and the classifier (if any) to an npz file."""
        from xmcbench.encoders.making import save_encoder

        if self.encoder is None or self.index is None:
            raise not_fitted("ance", "save")
        save_encoder(self.encoder, folder / "encoder")
        arrays = self.index.arrays() | {"sample": self.sample}
        if self.classifier is not None:
            arrays |= {"weight": self.classifier.weight.numpy(), "bias": self.classifier.bias.numpy()}
        write_npz(folder / FILE, arrays, compressed=False)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote, with large arrays mapped; a graph is made again.

        DataError if a file is missing or damaged.
        """
        from xmcbench.dense.index import LabelIndex
        from xmcbench.encoders.making import load_encoder
        from xmcbench.methods.ance.classifier import Classifier

        self.encoder = load_encoder(folder / "encoder")
        arrays = map_npz(folder / FILE)
        try:
            self.sample = arrays["sample"]
            if "weight" in arrays:
                self.classifier = Classifier(arrays["weight"], arrays["bias"])
            self.index = LabelIndex.read(arrays, self.params.search)
        except (KeyError, ValueError, IndexError) as error:
            raise not_a_model("ance", folder / FILE, error) from error
