"""Chats as text: the tokenizer's template, a plain one for tokenizers without, and where the
answers lie in it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from qubo_prune.core.text import format_value
from qubo_prune.hessians.calibration.rows import UnusableRowError, require_characters

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "tool": "tool",
}
"""What each role of a chat is called, by what datasets call it."""

# Some templates write the day into the prompt; the same seed must give the same tokens on every
# day. A macro takes the place of the function, which cannot be passed in; the empty output after it
# shields the template from what Jinja trims after a block.
_DAY = (
    "{%- macro strftime_now(format) -%}{{ format|replace('%Y', '2024')|replace('%y',"
    " '24')|replace('%m', '07')|replace('%B', 'July')|replace('%b', 'Jul')|replace('%d',"
    " '26')|replace('%A', 'Friday')|replace('%a', 'Fri')|replace('%H', '12')|replace('%M',"
    " '00')|replace('%S', '00') }}{%- endmacro -%}{{ '' }}"
)

_GENERATION = re.compile(r"\{%-?\s*generation\b")


class TemplateRefusedError(Exception):
    """The template of the tokenizer raised an error for a chat, as some do for a system message."""


class Rendered(NamedTuple):
    """A chat as text.

    Attributes
    ----------
    text : str
        With every special token written out.
    answers : list of (int, int)
        Characters of the assistant's turns, up to the end of the turn.
    lost : int
        Turns of the assistant that could not be located.
    """

    text: str
    answers: list[tuple[int, int]]
    lost: int


def as_messages(value: Any, where: str) -> list[dict[str, str]]:
    """Return a chat as messages with the keys ``role`` and ``content``, from those or from ``from``
    and ``value``.

    Raises
    ------
    UnusableRowError
        If it is none.
    """
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise UnusableRowError(
            "not a list of messages",
            f"{where} must hold a list of messages, not {format_value(value)}; correct it.",
        )
    return [_as_message(each, where) for each in value]


def _as_message(message: Any, where: str) -> dict[str, str]:
    role = content = None
    if isinstance(message, Mapping):
        role = message.get("role", message.get("from"))
        content = message.get("content", message.get("value"))
    if isinstance(role, str) and role not in ROLES:
        raise UnusableRowError(
            "a message of an unknown role",
            f"{where} has a message of the unknown role {format_value(role)}; use one of"
            f" {', '.join(ROLES)}.",
        )
    if isinstance(role, str) and isinstance(content, str):
        return {"role": ROLES[role], "content": require_characters(content, where)}
    reason = "a message without a text and its role"
    if isinstance(role, str) and isinstance(content, list):
        reason = "a message in parts"
    raise UnusableRowError(
        reason,
        f"{where} has a message without a text and its role, {format_value(message)}; "
        "give every message a role and a content (or from and value), both strings.",
    )


def has_template(tokenizer: Any) -> bool:
    """Say whether a tokenizer has a chat template."""
    return bool(getattr(tokenizer, "chat_template", None))


def describe_template(tokenizer: Any) -> str:
    """Return the checksum of the template of a tokenizer, or ``plain`` for the one that
    stands in.
    """
    if not has_template(tokenizer):
        return "plain"
    return "sha256:" + hashlib.sha256(tokenizer.get_chat_template().encode()).hexdigest()


def marks_answers(tokenizer: Any) -> bool:
    """Say whether the template marks the assistant's turns, by ``{% generation %}``."""
    return has_template(tokenizer) and bool(_GENERATION.search(tokenizer.get_chat_template()))


def tokens_with_mask(
    tokenizer: Any, messages: list[dict[str, str]]
) -> tuple[list[int], list[bool]]:
    """Return the tokens of a chat and which belong to the assistant, by a template that marks its
    turns.
    """
    encoded = _apply(
        tokenizer, messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    return encoded["input_ids"], [bool(each) for each in encoded["assistant_masks"]]


def render(tokenizer: Any, messages: list[dict[str, str]], *, locate: bool) -> Rendered:
    """Return a chat as text, and with `locate` where the assistant's turns lie.

    By the tokenizer's own template a turn lasts from where the chat before it ends, with the prompt
    for an answer, to where the chat that it ends ends. A template may write a turn differently once
    others follow, as some drop the reasoning of earlier answers; such a turn is not located.
    """
    if not has_template(tokenizer):
        return _render_plain(tokenizer, messages)
    text = _apply(tokenizer, messages, tokenize=False)
    if not locate:
        return Rendered(text, [], 0)
    answers = []
    lost = 0
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = (
            _apply(tokenizer, messages[:number], tokenize=False, add_generation_prompt=True)
            if number
            else ""
        )
        through = _apply(tokenizer, messages[: number + 1], tokenize=False)
        if text.startswith(before) and text.startswith(through) and len(before) < len(through):
            answers.append((len(before), len(through)))
        else:
            lost += 1
    return Rendered(text, answers, lost)


def _apply(tokenizer: Any, messages: list[dict[str, str]], **options: Any) -> Any:
    from jinja2 import TemplateError

    template = tokenizer.get_chat_template()
    if "strftime_now" in template:
        template = _DAY + template
    try:
        return tokenizer.apply_chat_template(messages, chat_template=template, **options)
    except TemplateError as error:
        raise TemplateRefusedError(str(error)) from error


def _render_plain(tokenizer: Any, messages: list[dict[str, str]]) -> Rendered:
    """Return turns as ``Role: content``, a blank line between them, an end-of-sequence token after
    each answer.
    """
    end = getattr(tokenizer, "eos_token", None) or ""
    text = getattr(tokenizer, "bos_token", None) or ""
    answers = []
    for number, message in enumerate(messages):
        text += "\n\n" if number else ""
        text += f"{message['role'].capitalize()}: "
        start = len(text)
        text += message["content"]
        if message["role"] == "assistant":
            text += end
            answers.append((start, len(text)))
    return Rendered(text, answers, 0)
