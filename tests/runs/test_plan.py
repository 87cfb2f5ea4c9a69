"""Names, parameters, grids and seeds become the runs one would expect, and nothing else."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import pytest

from xmcbench.errors import UsageError
from xmcbench.method import MethodInfo, param
from xmcbench.runs import registry
from xmcbench.runs.plan import make_plan, parse_value
from xmcbench.runs.spec import RunSpec


@dataclass(frozen=True)
class Params:
    beam: int = param(10, "clusters kept", "ours: a test", query=(5, 10), tune=(10, 20))
    rate: float = param(0.5, "learning rate", "ours: a test", tune=(0.1, 0.5, 2.0))
    index: str = param("tree", "kind of index", "ours: a test")
    loss: Literal["hinge", "log"] = param("hinge", "loss", "ours: a test")
    warm: bool = param(False, "warm start", "ours: a test")
    limit: int | None = param(None, "most rows", "ours: a test")


class Toy:
    info = MethodInfo(
        "toy",
        "for tests",
        "other",
        "1",
        parameters=Params,
        presets={"usual": {}, "wide": {"beam": 50, "rate": 0.1}, "wider": {"beam": 50, "rate": 0.1, "warm": True}},
    )

    def __init__(self, params: Any) -> None: ...

    @classmethod
    def skip(cls, data: Any, machine: Any) -> None: ...

    def fit(self, train: Any, ctx: Any) -> None: ...

    def predict(self, inputs: Any, k: int, ctx: Any) -> None: ...

    def save(self, folder: Any) -> None: ...

    def load(self, folder: Any) -> None: ...


class Floor(Toy):
    info = MethodInfo("popularity", "floor", "floor", "1", deterministic=True)


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {
        "toy": registry.Source("toy", f"{__name__}:Toy", "here"),
        "popularity": registry.Source("popularity", f"{__name__}:Floor", "here"),
    }
    monkeypatch.setattr(registry, "identity", lambda name: {"target": name})
    monkeypatch.setattr(registry, "sources", lambda: MappingProxyType(table))
    monkeypatch.setattr(registry, "get", lambda name: {"toy": Toy, "popularity": Floor}[name])


def labels(*methods: str, **options: Any) -> list[str]:
    return [f"{s.label}/{s.dataset}/{s.seed}" for s in make_plan(methods, options.pop("datasets", ["d"]), **options)]


def test_the_floor_is_always_planned_once() -> None:
    assert labels("toy") == ["toy/d/0", "popularity/d/0"]
    assert labels("popularity", "toy") == ["popularity/d/0", "toy/d/0"]


@pytest.mark.parametrize(
    ("methods", "settings", "says"),
    [
        (
            ["toy[beam=5,beam=9]"],
            [],
            "'toy[beam=5,beam=9]': beam is given twice\n  For one run with each value: toy[beam=5|9].",
        ),
        (["toy[beam=5|6, beam=9]"], [], "toy[beam=5|6|9]."),
        (["toy[tune,tune]"], [], "tune is given twice\n  Give it once."),
        (["toy[preset=wide,preset=usual]"], [], "preset is given twice"),
        (["toy"], ["beam=5", "beam=9"], "--set 'beam=9': '--set beam=5' sets beam of toy already"),
        (["toy"], ["beam=5", "toy.beam=9"], "For one run with each value: --set toy.beam=5,9"),
        (["toy[beam=5|6]"], ["beam=9"], "--set 'beam=9': 'toy[beam=5|6]' sets beam of toy already"),
    ],
)
def test_a_parameter_is_set_once(methods: list[str], settings: list[str], says: str) -> None:
    with pytest.raises(UsageError) as refused:
        make_plan(methods, ["d"], settings=settings)
    assert says in str(refused.value)


def test_what_is_said_twice_is_planned_once() -> None:
    assert labels("toy", "toy", "toy[beam=5|5|10]", seeds=[0]) == ["toy/d/0", "toy[beam=5]/d/0", "popularity/d/0"]


def test_brackets_set_and_bars_span_a_grid() -> None:
    assert labels("toy[beam=20,rate=0.1|0.2]") == [
        "toy[beam=20,rate=0.1]/d/0",
        "toy[beam=20,rate=0.2]/d/0",
        "popularity/d/0",
    ]


def test_a_preset_sets_what_nothing_beside_it_sets() -> None:
    assert make_plan(["toy[preset=wide,beam=7]"], ["d"])[0].parameters["beam"] == 7
    assert labels("toy[preset=wide|wider]")[:2] == ["toy[preset=wide]/d/0", "toy[preset=wider]/d/0"]
    assert labels("toy[preset=wide,index=flat]")[0] == "toy[preset=wide,index=flat]/d/0"
    assert labels("toy", settings=["preset=wide"])[0] == "toy[preset=wide]/d/0"
    assert labels("toy[preset=usual]", "toy")[0] == "toy/d/0"
    by_hand, preset = make_plan(["toy[beam=50,rate=0.1]"], ["d"])[0], make_plan(["toy[preset=wide]"], ["d"])[0]
    assert by_hand.fit_hash("c", "cpu") == preset.fit_hash("c", "cpu")


def test_set_reaches_the_methods_that_have_the_parameter() -> None:
    assert labels("toy", settings=["beam=3,4"]) == ["toy[beam=3]/d/0", "toy[beam=4]/d/0", "popularity/d/0"]
    assert labels("toy", settings=["toy.warm=yes"]) == ["toy[warm=true]/d/0", "popularity/d/0"]


def test_seeds_multiply_only_what_is_random() -> None:
    assert labels("toy", seeds=[0, 1]) == ["toy/d/0", "toy/d/1", "popularity/d/0"]


def test_the_same_run_is_planned_once() -> None:
    assert labels("toy", "toy[beam=10]") == ["toy/d/0", "popularity/d/0"]


def test_a_curve_adds_the_values_worth_showing() -> None:
    assert labels("toy", curve=True) == ["toy[beam=5]/d/0", "toy/d/0", "popularity/d/0"]


def test_query_parameters_share_a_fit_and_nothing_else_does() -> None:
    a, b, c = make_plan(["toy[beam=5]", "toy", "toy[rate=1]"], ["d"])[:3]
    assert a.fit_hash("h", "cpu") == b.fit_hash("h", "cpu") != c.fit_hash("h", "cpu")
    assert a.spec_hash("h", "cpu") != b.spec_hash("h", "cpu")
    assert a.spec_hash("h", "cpu") != a.spec_hash("other", "cpu")
    assert a.spec_hash("h", "cpu") != a.spec_hash("h", "cuda")
    assert a.query == {"beam": 5}


def tuned(*methods: str, **options: Any) -> RunSpec:
    return make_plan(methods, ["d"], tune=True, **options)[0]


def test_tuning_spans_what_offers_values_and_is_not_set() -> None:
    assert tuned("toy").grid == (("beam", (10, 20)), ("rate", (0.1, 0.5, 2.0)))
    assert tuned("toy[rate=0.5]").grid == (("beam", (10, 20)),)
    assert tuned("toy", settings=["toy.beam=20"]).grid == (("rate", (0.1, 0.5, 2.0)),)
    assert tuned("toy[preset=wide]").grid == (), "a preset sets what it holds"
    assert [s.grid for s in make_plan(["toy"], ["d"])] == [None, None]
    both = make_plan(["toy", "toy[tune]"], ["d"])
    assert [s.grid is None for s in both] == [True, False, True], "asked for one method, it is for that one"


def test_each_value_of_a_users_grid_is_kept_while_the_rest_is_tuned() -> None:
    plan = make_plan(["toy[rate=0.5|1]"], ["d"], tune=True, seeds=[0, 1])
    assert [f"{s.label}/{s.seed}" for s in plan] == [
        "toy[tune,rate=0.5]/0",
        "toy[tune,rate=0.5]/1",
        "toy[tune,rate=1.0]/0",
        "toy[tune,rate=1.0]/1",
        "popularity/0",
    ]
    assert {s.grid for s in plan[:4]} == {(("beam", (10, 20)),)}


def test_a_tuned_label_is_the_same_whatever_is_chosen_and_can_be_typed() -> None:
    run = tuned("toy[index=flat]")
    assert run.label == run.with_chosen({"beam": 20, "rate": 2.0}).label == "toy[tune,index=flat]"
    assert make_plan([run.label], ["d"])[0] == run
    assert tuned("toy[preset=wide,rate=0.5]").label == "toy[beam=50]", "nothing to tune: an untuned run's label"


def test_a_tuned_run_is_another_than_an_untuned_one_and_another_grid_than_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, plain = tuned("toy"), make_plan(["toy"], ["d"])[0]
    of_k = tuned("toy", k=5)
    assert run.with_chosen({"beam": 20}).spec_hash("h", "cpu") == run.spec_hash("h", "cpu")
    assert run.fit_hash("h", "cpu") == of_k.fit_hash("h", "cpu"), "k has no say in what is chosen"
    assert tuned("toy[beam=5]").fit_hash("h", "cpu") != tuned("toy[beam=7]").fit_hash("h", "cpu")
    floor = [make_plan(["popularity"], ["d"], tune=tune)[0].spec_hash("h", "cpu") for tune in (False, True)]
    assert floor[0] == floor[1], "where there is nothing to tune it is the same run"
    smaller = dataclasses.replace(run, grid=(("rate", (0.5, 2.0)),))
    hashes = {s.spec_hash("h", "cpu") for s in (run, plain, of_k, smaller, tuned("toy[rate=0.5]"))}
    assert len(hashes) == 5
    before = run.spec_hash("h", "cpu")
    monkeypatch.setattr("xmcbench.runs.spec.BY", "P@1")
    assert run.spec_hash("h", "cpu") != before


def test_a_curve_of_what_will_be_tuned_is_refused() -> None:
    with pytest.raises(UsageError, match="a curve comes from one fit"):
        tuned("toy", curve=True)
    assert [s.label for s in make_plan(["popularity"], ["d"], curve=True, tune=True)] == ["popularity"]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("beam", "7", 7),
        ("rate", "1e-3", 1e-3),
        ("loss", "log", "log"),
        ("warm", "true", True),
        ("limit", "none", None),
        ("limit", "5", 5),
    ],
)
def test_values_take_the_type_of_their_annotation(name: str, text: str, value: object) -> None:
    assert parse_value(Toy.info, name, text) == value


@pytest.mark.parametrize(
    ("methods", "settings", "said"),
    [
        (["toy[bem=3]"], [], "beam"),
        (["toy[beam=ten]"], [], "is not a whole number"),
        (["toy[beam]"], [], "lacks '='"),
        (["toy[rate=inf]"], [], "is not a finite number"),
        (["toy[loss=square]"], [], "Valid: hinge, log"),
        (["toy[beam=1"], [], "is not a method"),
        (["toy[preset=wid]"], [], "wide"),
        (["toy"], ["bem=3"], "beam"),
        (["toy"], ["nobody.beam=3"], "nobody"),
        (["toy"], ["beam"], "lacks '='"),
    ],
)
def test_what_cannot_be_planned_says_why(methods: list[str], settings: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("'", ".")):
        make_plan(methods, ["d"], settings=settings)


def test_other_code_is_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_plan(["toy"], ["d"])[0]
    before = run.fit_hash("h", "cpu")
    monkeypatch.setattr(registry, "identity", lambda name: {"sha256": "edited"})
    assert run.fit_hash("h", "cpu") != before


def test_all_problems_are_told_together() -> None:
    with pytest.raises(UsageError) as caught:
        make_plan(["toy[beam=x]", "toy[rate=y]"], ["d"])
    assert "beam='x'" in str(caught.value)
    assert "rate='y'" in str(caught.value)
