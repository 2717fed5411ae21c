"""Too long prompts lose their middle: instructions and question stand at the two ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def truncate_middle(items: Sequence, budget: int) -> Sequence:
    """Keep the first and the last ``budget // 2`` items of a sequence longer than `budget`.

    As in the published protocol an odd budget keeps one item less than it allows.

    Raises
    ------
    ValueError
        If `budget` is below 2: there would be no two ends.
    """
    if budget < 2:
        raise ValueError(f"budget: found {budget}, expected at least 2 tokens")
    if len(items) <= budget:
        return items
    half = budget // 2
    return items[:half] + items[len(items) - half :]


def middle_truncation(
    encode: Callable[[str], Sequence[int]], decode: Callable[[Sequence[int]], str], budget: int
) -> Callable[[str], str]:
    """Return a function that shortens a prompt to `budget` tokens of one tokenizer.

    The two ends are decoded apart and joined as text, since a token may not continue across the cut. A prompt
    that fits is returned as it is.

    Parameters
    ----------
    encode, decode : callable
        Text to tokens and back, without special tokens.
    budget : int
        Tokens a prompt may have: the model's window minus the tokens to generate.
    """
    if budget < 2:
        raise ValueError(f"budget: found {budget}, expected at least 2 tokens")

    def truncate(prompt: str) -> str:
        tokens = encode(prompt)
        if len(tokens) <= budget:
            return prompt
        half = budget // 2
        return decode(tokens[:half]) + decode(tokens[len(tokens) - half :])

    return truncate
