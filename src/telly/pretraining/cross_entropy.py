"""Cross-entropy over a vocabulary without the logits of all tokens in memory.

In a narrow model the output layer costs as much as the layers below it. Here the tokens pass through it in parts that
fit the processor's cache, and the gradients are computed on the way, so that nothing of the size of the logits is kept
or read again. (`torch.nn.functional.linear_cross_entropy` does the same, but rounds the loss to bfloat16, and was
slower on a CPU.)
"""

from __future__ import annotations

from typing import Any

import torch

PART = 512
"""Number of tokens processed at once."""


def linear_cross_entropy(
    states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, labels: torch.Tensor
) -> torch.Tensor:
    """Mean cross-entropy of the logits `states @ weight.T + bias`; the products are bfloat16, all sums float32.

    Args:
        states: [tokens, hidden].
        weight: [vocabulary, hidden].
        bias: [vocabulary] or None.
        labels: [tokens].
    """
    loss: torch.Tensor = _LinearCrossEntropy.apply(states, weight, bias, labels)  # type: ignore[no-untyped-call]
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, labels: torch.Tensor
    ) -> torch.Tensor:
        # The gradient for loss 1 is computed here and only scaled in `backward`: the logits exist once, part by part.
        narrow, weights = states.to(torch.bfloat16), weight.to(torch.bfloat16)
        d_states = torch.empty_like(narrow)
        d_weight = torch.zeros_like(weight, dtype=torch.float32)
        d_bias = None if bias is None else torch.zeros_like(bias, dtype=torch.float32)
        total = torch.zeros((), dtype=torch.float32, device=states.device)
        for start in range(0, len(states), PART):
            part, target = narrow[start : start + PART], labels[start : start + PART, None]
            logits = (part @ weights.T).float()  # [part, vocabulary]
            if bias is not None:
                logits += bias.float()
            log_sum = logits.logsumexp(dim=-1, keepdim=True)
            total += (log_sum - logits.gather(1, target)).sum()
            gradient = logits.sub_(log_sum).exp_()  # the probabilities, less one at the target
            gradient.scatter_add_(1, target, torch.full_like(log_sum, -1.0))
            if d_bias is not None:
                d_bias += gradient.sum(dim=0)
            gradient = gradient.to(torch.bfloat16)
            d_states[start : start + PART] = gradient @ weights
            d_weight += (gradient.T @ part).float()
        ctx.save_for_backward(d_states, d_weight, *([] if d_bias is None else [d_bias]))
        ctx.tokens, ctx.types = len(states), (states.dtype, weight.dtype)
        return total / len(states)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        d_states, d_weight, *d_bias = ctx.saved_tensors
        factor = gradient / ctx.tokens
        return (
            (d_states * factor).to(ctx.types[0]),
            (d_weight * factor).to(ctx.types[1]),
            d_bias[0] * factor if d_bias else None,
            None,
        )
