"""Draw running text in many languages from small grammars.

`sentences.yaml` beside this module holds the project's grammars; its head describes the format.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import yaml
from numpy.random import Generator

from denoise.errors import CorpusError

SENTENCES = Path(__file__).with_name("sentences.yaml")
START = "sentence"
NUMBER = "number"
PLACEHOLDER = re.compile(r"\{(\w+)\}")
MARKUP = re.compile(r"[<>&\[\]{}]")
PHRASE = re.compile(r"([^,.?!]+)([,.?!])")
SMALL_NUMBER, LARGE_NUMBER = 30, 10_000  # exclusive
LARGE_PROBABILITY = 0.2


@dataclass(frozen=True)
class Grammar:
    """One language: eSpeak NG's voices for it, and the alternatives of each rule."""

    language: str
    voices: tuple[str, ...]
    rules: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Phrase:
    """The words up to a punctuation mark, and the mark: a comma, full stop, `?` or `!`."""

    words: tuple[str, ...]
    mark: str

    @property
    def ends_sentence(self) -> bool:
        """Whether a sentence ends here."""
        return self.mark != ","


def read_grammars(path: str | os.PathLike[str] = SENTENCES) -> list[Grammar]:
    """Read grammars in the order of the file; raises CorpusError that names language and rule."""
    try:
        tree = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CorpusError(f"No grammars of sentences at {path}.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise CorpusError(f"{path}: {error}") from error
    if not isinstance(tree, dict) or not tree:
        raise CorpusError(f"{path}: it is not a mapping of languages to grammars.")
    try:
        return [_build_grammar(str(language), rules) for language, rules in tree.items()]
    except ValueError as error:
        raise CorpusError(f"{path}: {error}") from error


def _build_grammar(language: str, tree: Any) -> Grammar:
    if not isinstance(tree, dict):
        raise ValueError(f"{language}: {tree!r} is not a mapping of rules.")
    rules = {str(name): _alternatives(f"{language}.{name}", text) for name, text in tree.items()}
    for name in ("voices", START):
        if name not in rules:
            raise ValueError(f"{language}: it has no {name}.")
    voices = rules.pop("voices")
    used = {name: set(PLACEHOLDER.findall(" ".join(rules[name]))) - {NUMBER} for name in rules}
    for name, others in used.items():
        for other in sorted(others - rules.keys()):
            raise ValueError(f"{language}.{name}: there is no rule {other!r}.")
    try:
        TopologicalSorter(used).prepare()
    except CycleError as error:
        raise ValueError(f"{language}: rules use each other: {' > '.join(error.args[1])}") from None
    for sentence in rules[START]:
        if not re.search(r"[.?!]$", sentence):
            raise ValueError(f"{language}.{START}: {sentence!r} does not end with one of . ? !")
    return Grammar(language, voices, rules)


def _alternatives(key: str, text: Any) -> tuple[str, ...]:
    if not isinstance(text, str):
        raise ValueError(f"{key}: {text!r} is not text.")
    alternatives = tuple(" ".join(part.split()) for part in text.split("|"))
    for alternative in alternatives:
        if not alternative or MARKUP.search(PLACEHOLDER.sub("", alternative)):
            raise ValueError(f"{key}: {alternative!r} is empty or has markup.")
    return alternatives


def draw_phrases(grammar: Grammar, rng: Generator) -> Iterator[Phrase]:
    """Yield the phrases of one random sentence after another, without end."""
    while True:
        sentence = _expand(grammar, START, rng)
        for words, mark in PHRASE.findall(sentence):
            if words.strip():
                yield Phrase(tuple(words.split()), mark)


def _expand(grammar: Grammar, rule: str, rng: Generator) -> str:
    """Return a random alternative of a rule, with random alternatives for its placeholders."""
    if rule == NUMBER:
        is_large = rng.random() < LARGE_PROBABILITY
        return str(rng.integers(LARGE_NUMBER if is_large else SMALL_NUMBER))
    alternatives = grammar.rules[rule]
    chosen = alternatives[rng.integers(len(alternatives))]
    return PLACEHOLDER.sub(lambda match: _expand(grammar, match[1], rng), chosen)
