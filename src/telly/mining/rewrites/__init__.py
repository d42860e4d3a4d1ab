"""Rewrites of Python functions that keep their behaviour, a module for each family.

The module `telly.mining.variants` states what they may rely on.
"""

from telly.mining.rewrites.branches import else_after_jump, flip_comparisons, invert_if, return_choice, split_condition
from telly.mining.rewrites.common import Rewrite
from telly.mining.rewrites.comprehensions import comprehension_to_loop, loop_to_comprehension
from telly.mining.rewrites.loops import break_while, range_to_while, step_assignment
from telly.mining.rewrites.names import rename
from telly.mining.rewrites.order import reorder_statements
from telly.mining.rewrites.temporaries import extract_temporary, inline_temporary, name_result

REWRITES: dict[str, Rewrite] = {
    "inline-temporary": inline_temporary,
    "loop-to-comprehension": loop_to_comprehension,
    "range-to-while": range_to_while,
    "break-while": break_while,
    "extract-temporary": extract_temporary,
    "comprehension-to-loop": comprehension_to_loop,
    "step-assignment": step_assignment,
    "split-condition": split_condition,
    "return-choice": return_choice,
    "name-result": name_result,
    "else-after-jump": else_after_jump,
    "invert-if": invert_if,
    "flip-comparisons": flip_comparisons,
    "reorder-statements": reorder_statements,
    "rename": rename,
}
"""In the order in which they are applied."""

__all__ = ["REWRITES", "Rewrite"]
