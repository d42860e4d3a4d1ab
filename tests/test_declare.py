from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import PositiveInt

from telly.config import Config
from telly.declare import EVALUATION, SPEED, WEIGHTS, Group, Setting, settings_of


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Example(Config):
    epochs: Annotated[PositiveInt | None, Setting("Maximum number of epochs.", WEIGHTS, group=Group.TRAINING)] = None
    colour: Annotated[Colour, Setting("Colour of the bike shed.", EVALUATION, option="--color")] = Colour.RED
    precision: Annotated[Literal["fp32", "bf16"], Setting("Precision.", WEIGHTS, SPEED)] = "fp32"
    names: Annotated[tuple[str, ...], Setting("Names.", SPEED)]


class Forgotten(Config):
    epochs: int = 3


def test_a_declaration_gives_name_option_type_choices_and_default():
    found = settings_of(Example)

    assert list(found) == ["epochs", "colour", "precision", "names"]
    assert [s.option for s in found.values()] == ["--epochs", "--color", "--precision", "--names"]
    assert found["epochs"].type is int
    assert found["epochs"].default is None and found["names"].default is ...
    assert found["colour"].choices == ("red", "blue") and found["precision"].choices == ("fp32", "bf16")
    assert found["epochs"].choices == ()
    assert found["precision"].setting.affects == {WEIGHTS, SPEED}
    assert found["epochs"].setting.group is Group.TRAINING and found["colour"].setting.group is Group.TASK


def test_limits_of_the_annotation_still_hold():
    with pytest.raises(Exception, match="epochs"):
        Example(epochs=0, names=())
    assert Example(epochs=2, names=("a",)).epochs == 2


def test_a_setting_without_affects_and_a_field_without_a_setting_are_refused():
    with pytest.raises(TypeError, match="must declare what it affects"):
        Setting("Help.")
    with pytest.raises(TypeError, match=r"Forgotten.epochs: declare help and `affects`"):
        settings_of(Forgotten)
